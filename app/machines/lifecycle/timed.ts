import { MachineError, type MachineErrorCode } from '../error.ts';

/** A change of a machine after its start. */
export type MachineVerb = 'pause' | 'stop' | 'resume' | 'snapshot' | 'fork';

/** How a change of a machine ended. `refused`: a record or a rule did not allow it. */
export type VerbOutcome = 'done' | 'refused' | MachineErrorCode;

/** Receives how changes of machines end, `seconds` after their turn came. */
export type VerbMetrics = { machineVerb: (verb: MachineVerb, outcome: VerbOutcome, seconds: number) => void };

/** Changes a machine, and reports how long that took and how it ended. */
export async function timed<T>(metrics: VerbMetrics | null, verb: MachineVerb, change: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const report = (outcome: VerbOutcome) => metrics?.machineVerb(verb, outcome, (performance.now() - began) / 1000);
  try {
    const result = await change();
    report('done');
    return result;
  } catch (error) {
    report(error instanceof MachineError ? error.code : 'refused');
    throw error;
  }
}
