import type { MachineSpec } from '../driver.ts';
import type { MachineError } from '../error.ts';
import { forkArguments } from './create.ts';
import { pause, thaw } from './machines.ts';
import type { Places } from './places.ts';
import type { Msb } from './runtime/msb.ts';

/**
 * Starts copies of a running machine. Several need a call each, because each gets a socket of its
 * own: the machine is frozen meanwhile, so that all are from one moment.
 */
export async function forkMachine(
  msb: Msb,
  places: Places,
  source: string,
  specs: MachineSpec[],
  start: (spec: MachineSpec, args: string[]) => Promise<void>,
): Promise<(MachineError | null)[]> {
  const isOne = specs.length === 1;
  if (!isOne) await pause(msb, places, source);
  const outcomes: (MachineError | null)[] = [];
  try {
    for (const spec of specs) {
      const started = start(spec, forkArguments(places, source, spec));
      outcomes.push(
        await started.then(
          () => null,
          (error) => error as MachineError,
        ),
      );
    }
  } finally {
    if (!isOne) await thaw(msb, places, source);
  }
  const first = outcomes.find((outcome) => outcome !== null);
  if (first && outcomes.every((outcome) => outcome !== null)) throw first;
  return outcomes;
}
