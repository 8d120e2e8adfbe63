import type { Metric } from 'prom-client';

/** How many durations fell into each bucket, the last being for those above all bounds. */
type Series = { buckets: number[]; sum: number };

type Labels = { method: string; route: string; status: number };
type Sample = { metricName: string; labels: Record<string, string | number>; value: number };

/**
 * A histogram of requests by method, route and status, for a registry of prom-client's. Its own finds a series by a text
 * made of all labels, with every observation, which took a tenth of the requests that a core can answer.
 */
export class RequestDurations {
  readonly name: string;
  readonly help: string;
  readonly #bounds: number[];
  readonly #series = new Map<string, Map<string, Map<number, Series>>>();

  /** Bounds are seconds, the smallest first. */
  constructor(name: string, help: string, bounds: number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
  }

  observe(method: string, route: string, status: number, seconds: number): void {
    const series = this.#series.get(route)?.get(method)?.get(status) ?? this.#add({ method, route, status });
    let at = 0;
    while (seconds > (this.#bounds[at] ?? Number.POSITIVE_INFINITY)) at++;
    series.buckets[at] = (series.buckets[at] ?? 0) + 1;
    series.sum += seconds;
  }

  /** Resolves to what prom-client's metrics do: a registry asks for no more. */
  async get() {
    const { name, help } = this;
    return { name, help, type: 'histogram', aggregator: 'sum', values: this.#samples() };
  }

  /** Returns itself as what a registry takes. */
  asMetric(): Metric {
    return this as unknown as Metric;
  }

  #add({ method, route, status }: Labels): Series {
    const series = { buckets: Array(this.#bounds.length + 1).fill(0), sum: 0 };
    const methods = this.#series.get(route) ?? new Map<string, Map<number, Series>>();
    const statuses = methods.get(method) ?? new Map<number, Series>();
    this.#series.set(route, methods.set(method, statuses.set(status, series)));
    return series;
  }

  #samples(): Sample[] {
    return [...this.#series].flatMap(([route, methods]) =>
      [...methods].flatMap(([method, statuses]) =>
        [...statuses].flatMap(([status, series]) => this.#samplesOf({ method, route, status }, series)),
      ),
    );
  }

  #samplesOf(labels: Labels, { buckets, sum }: Series): Sample[] {
    let count = 0;
    const cumulative = buckets.map((inBucket, at) => {
      count += inBucket;
      return { metricName: `${this.name}_bucket`, labels: { ...labels, le: this.#bounds[at] ?? '+Inf' }, value: count };
    });
    const total = (suffix: string, value: number) => ({ metricName: `${this.name}_${suffix}`, labels, value });
    return [...cumulative, total('sum', sum), total('count', count)];
  }
}
