import type { Container } from 'dockerode';
import type { TakenSnapshot } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { mustGoOn } from '../containers/create.ts';
import { whileFreezable } from '../containers/freeze.ts';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { instanceLabel, type Names, sandboxLabel, snapshotLabel } from '../labels.ts';
import type { Shared } from '../shared.ts';
import { removeImage } from './images.ts';

/** What the engine allows as a tag, and no more than the driver's interface promises. */
const validName = /^[a-z0-9][a-z0-9-]{0,127}$/i;

/**
 * Keeps the files of a container as an image. `sizeBytes` is the size of what the container has
 * changed since its own image. Leaves nothing behind on failure, also when the signal aborts: it
 * rejects once the image is removed. Rejects with MachineError.
 */
export async function takeSnapshot(
  { engine, names }: Shared,
  container: Container,
  name: string,
  signal: AbortSignal,
): Promise<TakenSnapshot> {
  if (!validName.test(name)) throw new MachineError('unsupported', `a snapshot can't have the name ${name}`);
  mustGoOn(signal);
  const ref = `${names.snapshots}:${name}`;
  try {
    const id = await commit(names, container, { repo: names.snapshots, tag: name });
    const sizeBytes = await addedBytes(engine, id);
    mustGoOn(signal);
    return { ref, sizeBytes };
  } catch (error) {
    await removeImage(engine, ref).catch(() => {
      // The engine is in trouble. Reconciling removes what it leaves.
    });
    throw error;
  }
}

/**
 * Makes an image of a container. Returns the image's id. The engine freezes the container meanwhile
 * and lets it go on by itself, whatever becomes of this server. The caller's signal can't end this
 * call: the engine might finish it after the image was looked for in vain.
 */
export async function commit(
  names: Names,
  container: Container,
  as: { repo: string; tag: string } | null,
): Promise<string> {
  // Images inherit the labels of the container. Those that tell our containers must not pass from
  // there to containers that others make.
  const labels = [`${instanceLabel}=""`, `${sandboxLabel}=""`, `${snapshotLabel}=${names.instance}`];
  const changes = labels.map((label) => `LABEL ${label}`).join('\n');
  const query = { container: container.id, pause: true, changes, ...as };
  const { Id } = await whileFreezable(() =>
    callEngine('keep the machine as a snapshot', deadlines.commit, (abortSignal) =>
      // Podman wants a body, and dockerode sends no empty one.
      container.commit({ _query: query, _body: { Hostname: '' }, abortSignal }),
    ),
  );
  return Id.startsWith('sha256:') ? Id : `sha256:${Id}`;
}

/** Returns the size of an image's newest layer. */
async function addedBytes({ docker }: Engine, id: string): Promise<number> {
  const layers: { Size: number }[] = await callEngine('look at the snapshot', deadlines.read, () =>
    docker.getImage(id).history(),
  );
  return layers[0]?.Size ?? 0;
}
