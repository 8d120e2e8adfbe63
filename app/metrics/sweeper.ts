import { Counter, Histogram, type Registry } from 'prom-client';
import type { Metrics } from '../context.ts';
import { buckets } from './buckets.ts';

/** Adds the metrics of the sweeper's tasks to a registry. */
export function sweeperMetrics(register: Registry): Pick<Metrics, 'swept'> {
  const durations = new Histogram({
    name: 'sandpit_sweeper_duration_seconds',
    help: 'Runs of the sweeper, by task.',
    labelNames: ['task'],
    buckets,
    registers: [register],
  });
  const failures = new Counter({
    name: 'sandpit_sweeper_failures_total',
    help: 'Failed runs of the sweeper, by task. The next run makes up for a failed one.',
    labelNames: ['task'],
    registers: [register],
  });
  return {
    swept: (task, seconds, hasFailed) => {
      durations.observe({ task }, seconds);
      failures.inc({ task }, hasFailed ? 1 : 0);
    },
  };
}
