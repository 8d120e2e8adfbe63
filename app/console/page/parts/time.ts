import { useEffect, useState } from 'preact/hooks';
import { html } from '../html.ts';

const units = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** Returns a number of seconds in its two largest units, e.g. `2 h 5 min`. */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(' ') || '0 s';
}

/** One timer for all clocks of the page. */
const ticks = new EventTarget();
setInterval(() => document.hidden || ticks.dispatchEvent(new Event('tick')), 1000);

function useTick(): void {
  const [, setTick] = useState(0);
  useEffect(() => {
    const draw = () => setTick((tick) => tick + 1);
    ticks.addEventListener('tick', draw);
    return () => ticks.removeEventListener('tick', draw);
  }, []);
}

/** When something happened, e.g. `5 min ago`, with the exact time as its title. */
export function Ago({ at }: { at: string | null }) {
  useTick();
  if (at === null) return html`<span>never</span>`;
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  return html`<time datetime=${at} title=${at}>${seconds < 1 ? 'now' : `${duration(seconds)} ago`}</time>`;
}

/** The time that is left, counting down. `forever`: what to show without an end. */
export function Left({ until, forever = 'no end' }: { until: string | null; forever?: string }) {
  useTick();
  if (until === null) return html`<span>${forever}</span>`;
  const seconds = (Date.parse(until) - Date.now()) / 1000;
  return html`<time datetime=${until} title=${until} class=${seconds < 60 ? 'soon' : ''}>${duration(Math.ceil(seconds))}</time>`;
}
