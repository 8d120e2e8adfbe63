import type { Driver, MachineSpec } from '../driver.ts';
import type { Connection } from './connection.ts';
import { pauseContainer, stopContainer } from './containers/pause.ts';
import { resizeContainer } from './containers/resize.ts';
import { resumeContainer } from './containers/resume.ts';
import { takeSnapshot } from './snapshots/commit.ts';
import { forkContainer } from './snapshots/fork.ts';
import { listSnapshots, removeImage } from './snapshots/images.ts';

type Changes = Pick<
  Driver,
  'resize' | 'pause' | 'stop' | 'resume' | 'snapshot' | 'fork' | 'snapshots' | 'removeSnapshot'
>;

/** Returns the driver's methods that change machines and keep what they are. */
export function changesOf(connection: Connection, until: (signal: AbortSignal) => AbortSignal): Changes {
  return {
    resize: (id, memoryMb) => connection.withContainer(id, (container) => resizeContainer(container, memoryMb)),
    pause: (id) => connection.withContainer(id, pauseContainer),
    stop: (id) =>
      connection.withContainer(id, async (container) => {
        connection.expectDeath(container.id);
        await stopContainer(container).catch((error) => {
          connection.expectNoDeath(container.id);
          throw error;
        });
      }),
    resume: (id, signal) =>
      connection.withContainer(id, (container, shared) => {
        connection.expectNoDeath(container.id);
        return resumeContainer(shared, id, container, until(signal));
      }),
    snapshot: (id, name, signal) =>
      connection.withContainer(id, (container, shared) => takeSnapshot(shared, container, name, until(signal))),
    fork: (id, specs, signal) =>
      connection.withContainer(id, (container, shared) => {
        const create = (spec: MachineSpec) => connection.create(spec, until(signal));
        return forkContainer(shared, container, specs, create, until(signal));
      }),
    snapshots: () => connection.use(({ engine: found, names }) => listSnapshots(found, names)),
    removeSnapshot: (ref) => connection.use(({ engine: found }) => removeImage(found, ref)),
  };
}
