import type { MachineVerb, Metrics, VerbOutcome } from '../../context.ts';
import { MachineError } from '../error.ts';

/** Changes a machine, and reports how long that took and how it ended. */
export async function timed<T>(
  metrics: Pick<Metrics, 'machineVerb'> | null,
  verb: MachineVerb,
  change: () => Promise<T>,
): Promise<T> {
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
