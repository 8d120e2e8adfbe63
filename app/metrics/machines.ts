import { Histogram, type Registry } from 'prom-client';
import type { Metrics } from '../context.ts';
import { buckets } from './buckets.ts';

/** Adds the metrics of machines that are started to a registry. */
export function machineMetrics(register: Registry): Pick<Metrics, 'launched'> {
  const durations = new Histogram({
    name: 'sandpit_machine_start_duration_seconds',
    help: 'Starts of machines, waiting included, by outcome: started, client_left, or why they failed.',
    labelNames: ['outcome'],
    buckets,
    registers: [register],
  });
  return { launched: (outcome, seconds) => durations.observe({ outcome }, seconds) };
}
