import { filters } from '../filters.ts';
import type { StoreRow } from './results.ts';

const panel = { width: 220, height: 170, left: 44, right: 12, top: 24, bottom: 24 };
const columns = 4;
const header = 44;
const sides = [
  { name: 'Sandpit', color: '#0b6e4f', timeOf: (row: StoreRow) => row.sandpit.p50 },
  { name: 'PostgreSQL', color: '#c1440e', timeOf: (row: StoreRow) => row.postgres?.p50 },
];

type Range = { min: number; max: number };

/**
 * Returns an SVG: the median time of a call against the number of sandboxes, one panel for each
 * filter. It shows the rows in which one owner has all sandboxes.
 */
export function plot(store: StoreRow[]): string {
  const rows = store.filter(({ owner }) => owner === 'all');
  const shown = filters.filter(({ name }) => rows.some(({ filter }) => filter === name));
  const times = rows.flatMap((row) => sides.flatMap(({ timeOf }) => timeOf(row) ?? []));
  const ranges = { x: decades(rows.map(({ size }) => size)), y: decades(times) };
  const panels = shown.map(({ name }, at) => {
    const place = `translate(${(at % columns) * panel.width} ${header + Math.floor(at / columns) * panel.height})`;
    const own = rows.filter(({ filter }) => filter === name).toSorted((a, b) => a.size - b.size);
    return `<g transform="${place}">${panelOf(name, own, ranges)}</g>`;
  });
  const [width, height] = [columns * panel.width, header + Math.ceil(shown.length / columns) * panel.height];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"
  font-family="sans-serif" font-size="10" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="8" y="18" font-size="13">Median time of a store call against sandboxes in the store (one owner has all)</text>
${legend()}
${panels.join('\n')}
</svg>
`;
}

function legend(): string {
  return sides
    .map(({ name, color }, at) => {
      const x = 8 + at * 90;
      return `<path d="M${x} 32h16" stroke="${color}" stroke-width="2"/><text x="${x + 20}" y="36">${name}</text>`;
    })
    .join('');
}

function panelOf(name: string, rows: StoreRow[], ranges: { x: Range; y: Range }): string {
  const x = (value: number) => panel.left + share(value, ranges.x) * (panel.width - panel.left - panel.right);
  const y = (value: number) => panel.height - panel.bottom - share(value, ranges.y) * plotHeight();
  const lines = sides.map(({ color, timeOf }) => {
    const points = rows.flatMap((row) => {
      const time = timeOf(row);
      return time === undefined ? [] : [{ x: round(x(row.size)), y: round(y(time)) }];
    });
    const dots = points.map((point) => `<circle cx="${point.x}" cy="${point.y}" r="2.5" fill="${color}"/>`).join('');
    const path = points.map((point) => `${point.x},${point.y}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.5"/>${dots}`;
  });
  const title = `<text x="${panel.left}" y="16" font-weight="bold">${name}</text>`;
  return [
    title,
    ...powers(ranges.x).map((size) => vertical(size, x(size))),
    ...powers(ranges.y).map((time) => horizontal(time, y(time))),
    ...lines,
  ].join('');
}

function plotHeight(): number {
  return panel.height - panel.top - panel.bottom;
}

function vertical(size: number, x: number): string {
  const bottom = panel.height - panel.bottom;
  const label = size >= 1e6 ? `${size / 1e6}M` : size >= 1000 ? `${size / 1000}k` : `${size}`;
  return `<path d="M${round(x)} ${panel.top}V${bottom}" stroke="#ddd"/><text x="${round(x)}" y="${bottom + 13}" text-anchor="middle">${label}</text>`;
}

function horizontal(time: number, y: number): string {
  const label = time >= 1e6 ? `${time / 1e6} s` : time >= 1000 ? `${time / 1000} ms` : `${time} us`;
  return `<path d="M${panel.left} ${round(y)}H${panel.width - panel.right}" stroke="#ddd"/><text x="${panel.left - 4}" y="${round(y + 3)}" text-anchor="end">${label}</text>`;
}

/** Returns the exponents of the powers of ten just below and above the values. */
function decades(values: number[]): Range {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values)));
  return { min: low, max: Math.max(high, low + 1) };
}

function powers({ min, max }: Range): number[] {
  return Array.from({ length: max - min + 1 }, (_, at) => 10 ** (min + at));
}

function share(value: number, { min, max }: Range): number {
  return (Math.log10(value) - min) / (max - min);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
