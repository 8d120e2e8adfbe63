export type Summary = { p50: number; p99: number; max: number; calls: number };

/** Returns the percentiles of the times, in the unit of the times. */
export function summarize(times: number[]): Summary {
  const sorted = Float64Array.from(times).sort();
  const at = (quantile: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1), calls: sorted.length };
}

/** Returns the median: the middle value, or the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}
