import { Counter, Histogram, type Registry } from 'prom-client';
import type { Metrics } from '../context.ts';
import { buckets } from './buckets.ts';

/** Outcomes of which nobody has to repair anything. */
const harmless = new Set(['started', 'done', 'client_left', 'refused', 'no_image']);

type MachineMetrics = Pick<Metrics, 'launched' | 'machineVerb' | 'execStarted' | 'machinesLost'>;

/** Adds the metrics of what is done with machines to a registry. */
export function machineMetrics(register: Registry): MachineMetrics {
  const histogram = (name: string, help: string, ...labelNames: string[]) =>
    new Histogram({ name, help, labelNames, buckets, registers: [register] });
  const starts = histogram(
    'sandpit_machine_start_duration_seconds',
    'Starts of machines, waiting included, by outcome: started, client_left, or why they failed.',
    'outcome',
  );
  const verbs = histogram(
    'sandpit_machine_verb_duration_seconds',
    'Changes of machines (pause, stop, resume, snapshot, fork) by outcome: done, or why they failed.',
    'verb',
    'outcome',
  );
  const execs = histogram(
    'sandpit_machine_exec_duration_seconds',
    'Starts of commands in machines, until their first event.',
  );
  const failures = new Counter({
    name: 'sandpit_machine_failures_total',
    help: 'Failures of machines by what failed (start, a change, or running) and why.',
    labelNames: ['during', 'reason'],
    registers: [register],
  });
  const count = (during: string, reason: string) => {
    if (!harmless.has(reason)) failures.inc({ during, reason });
  };
  return {
    launched: (outcome, seconds) => {
      starts.observe({ outcome }, seconds);
      count('start', outcome);
    },
    machineVerb: (verb, outcome, seconds) => {
      verbs.observe({ verb, outcome }, seconds);
      count(verb, outcome);
    },
    execStarted: (seconds) => execs.observe(seconds),
    machinesLost: (reason, lost) => failures.inc({ during: 'running', reason }, lost),
  };
}
