import { useEffect, useRef } from 'preact/hooks';
import { get, type Schemas } from '../api/api.ts';
import { html } from '../html.ts';
import { Problem, useLoaded } from '../parts/action.ts';
import { addStyle } from '../parts/styles.ts';

type Reading = Schemas['SandboxMetric'];
type Plot = { destroy: () => void };

const everyMilliseconds = 10_000;

/** What a machine uses, over time: processor, memory and disk. */
export function Usage({ id }: { id: string }) {
  const path = `sandboxes/${encodeURIComponent(id)}/metrics`;
  const { value, problem, reload } = useLoaded(() => get<Reading[]>(path), [path]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || reload(), everyMilliseconds);
    return () => clearInterval(timer);
  }, [path]);
  // A line needs two readings.
  const last = value && value.length > 1 ? value.at(-1) : undefined;
  return html`
    <section aria-labelledby="usage">
      <h2 id="usage">Use</h2>
      <${Problem} words=${problem} />
      ${
        last
          ? html`
            <p>${summary(last)}</p>
            <div class="plots">
              <${Graph} title="Processor (%)" readings=${value} measure=${(reading: Reading) => reading.cpuUsedPct} />
              <${Graph} title="Memory (MB)" readings=${value} measure=${(reading: Reading) => reading.memUsed / 2 ** 20} />
              <${Graph} title="Disk (MB)" readings=${value} measure=${(reading: Reading) => reading.diskUsed / 2 ** 20} />
            </div>`
          : html`<p class="note">The first readings come within some seconds.</p>`
      }
    </section>
  `;
}

function summary({ cpuUsedPct, cpuCount, memUsed, memTotal, diskUsed, diskTotal }: Reading): string {
  const memory = `memory ${megabytes(memUsed)} of ${megabytes(memTotal)}`;
  return `Processor ${cpuUsedPct.toFixed(0)} % of ${cpuCount}, ${memory}, disk ${megabytes(diskUsed)} of ${megabytes(diskTotal)}`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}

type GraphProps = { title: string; readings: Reading[]; measure: (reading: Reading) => number };

/** One line over time. The library for it is loaded when it is drawn first. */
function Graph({ title, readings, measure }: GraphProps) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let plot: Plot | undefined;
    let isGone = false;
    void draw(title, readings, measure, place).then((drawn) => {
      if (isGone) drawn?.destroy();
      else plot = drawn;
    });
    return () => {
      isGone = true;
      plot?.destroy();
    };
  }, [readings]);
  return html`<div class="plot" ref=${place} role="img" aria-label=${`${title}: ${readings.length} readings`}></div>`;
}

async function draw(
  title: string,
  readings: Reading[],
  measure: GraphProps['measure'],
  { current: place }: { current: HTMLElement | null },
): Promise<Plot | undefined> {
  const { default: UPlot } = await import('uplot');
  if (place === null) return undefined;
  addStyle('library/uplot.css');
  const colour = getComputedStyle(place).color;
  const axis = {
    stroke: colour,
    grid: { stroke: 'rgba(128, 128, 128, 0.25)' },
    ticks: { stroke: 'rgba(128, 128, 128, 0.25)' },
  };
  const options = {
    title,
    width: Math.max(200, place.clientWidth),
    height: 160,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      y: { range: (_plot: unknown, _low: number, high: number): [number, number] => [0, Math.max(1, high * 1.1)] },
    },
    axes: [axis, { ...axis, size: 56 }],
    series: [{}, { label: title, stroke: '#3b82f6', width: 2 }],
  };
  return new UPlot(options, [readings.map(({ timestampUnix }) => timestampUnix), readings.map(measure)], place);
}
