import type { MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';

/**
 * Starts the copies of a machine one after another. Returns what became of each, in order: null, or
 * why it could not be started. Rejects when none could.
 */
export async function startCopies(
  specs: MachineSpec[],
  start: (spec: MachineSpec) => Promise<void>,
): Promise<(MachineError | null)[]> {
  const outcomes: (MachineError | null)[] = [];
  for (const spec of specs)
    outcomes.push(
      await start(spec).then(
        () => null,
        (error) => asMachineError(error),
      ),
    );
  const [first] = outcomes;
  if (first && !outcomes.includes(null)) throw first;
  return outcomes;
}

function asMachineError(error: unknown): MachineError {
  if (error instanceof MachineError) return error;
  return new MachineError('failed', `The machine can not be made: ${(error as Error).message}.`, { cause: error });
}
