import type { Container } from 'dockerode';
import type { MachineSpec } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { mustGoOn } from '../containers/create.ts';
import type { Shared } from '../shared.ts';
import { commit } from './commit.ts';
import { removeImage } from './images.ts';

/** How many machines of a fork are started at the same time. More would only slow each other. */
const mostAtOnce = 4;

type Create = (spec: MachineSpec) => Promise<void>;

/**
 * Makes an image of a container, and machines from it with `create`. Returns what became of each,
 * in order. Rejects with MachineError when none could be made. The image has no name, and stays
 * until its machines are gone and somebody removes it.
 */
export async function forkContainer(
  { engine, names }: Shared,
  container: Container,
  specs: MachineSpec[],
  create: Create,
  signal: AbortSignal,
): Promise<(MachineError | null)[]> {
  mustGoOn(signal);
  const image = await commit(names, container, null);
  const results: (MachineError | null)[] = [];
  const waiting = specs.entries();
  const work = async () => {
    for (const [n, spec] of waiting) results[n] = await outcomeOf(create({ ...spec, image, isSnapshot: true }));
  };
  await Promise.all(Array.from({ length: mostAtOnce }, work));
  if (!results.includes(null)) {
    await removeImage(engine, image).catch(() => {
      // The engine is in trouble. Reconciling removes what it leaves.
    });
    if (results[0]) throw results[0];
  }
  return results;
}

async function outcomeOf(creating: Promise<void>): Promise<MachineError | null> {
  try {
    await creating;
    return null;
  } catch (error) {
    if (error instanceof MachineError) return error;
    throw error;
  }
}
