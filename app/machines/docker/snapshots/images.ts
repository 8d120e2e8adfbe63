import type { ImageInfo } from 'dockerode';
import type { FoundSnapshot } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { statusOf } from '../engine/failures.ts';
import { type Names, snapshotLabel } from '../labels.ts';
import { ignoring } from '../program.ts';

/**
 * Returns the images that we keep: snapshots by name, and those of forks by id. An image is used
 * while a container was made from it or another image is based on it.
 */
export async function listSnapshots({ docker }: Engine, names: Names): Promise<FoundSnapshot[]> {
  const images = await listImages(docker);
  // Listed after the images, so that none of these seems unused because its container came later.
  const containers = await callEngine('list the machines', deadlines.read, (abortSignal) =>
    docker.listContainers({ all: true, abortSignal } as object),
  );
  const used = new Set([
    ...containers.map(({ ImageID }) => bare(ImageID)),
    ...images.map(({ ParentId }) => bare(ParentId)),
  ]);
  return images
    .filter(({ Labels }) => Labels?.[snapshotLabel] === names.instance)
    .flatMap(({ Id, RepoTags }) =>
      refsOf(names, Id, RepoTags ?? []).map((ref) => ({ ref, isUsed: used.has(bare(Id)) })),
    );
}

async function listImages(docker: Engine['docker'], triesLeft = 5): Promise<ImageInfo[]> {
  try {
    return await callEngine('list the snapshots', deadlines.read, (abortSignal) =>
      docker.listImages({ abortSignal } as object),
    );
  } catch (error) {
    // Podman fails when an image goes while it lists them.
    const isRace = /image not known/.test(String((error as MachineError).cause));
    if (!isRace || triesLeft === 0) throw error;
    return listImages(docker, triesLeft - 1);
  }
}

/** An image with somebody else's tag only is somebody else's. */
function refsOf(names: Names, id: string, tags: string[]): string[] {
  const named = tags.filter((tag) => tag !== '<none>:<none>');
  return named.length === 0 ? [id] : named.filter((tag) => tag.startsWith(`${names.snapshots}:`));
}

function bare(id: string): string {
  return id.replace(/^sha256:/, '');
}

/**
 * Removes an image. A missing one is no error. Rejects with `failed` while a container uses it.
 * What other images share with it stays until they are gone.
 */
export async function removeImage({ docker }: Engine, ref: string): Promise<void> {
  await callEngine('remove the snapshot', deadlines.change, async (abortSignal) => {
    const removed = ignoring(404, docker.getImage(ref).remove({ abortSignal }));
    await removed.catch((error) => {
      throw statusOf(error) === 409
        ? new MachineError('failed', 'a machine uses the snapshot', { cause: error })
        : error;
    });
  });
}
