import { pauseContainer } from '../containers/pause.ts';
import { resumeContainer } from '../containers/resume.ts';
import type { Shared } from '../shared.ts';
import { takeSnapshot } from '../snapshots/commit.ts';
import { removeImage } from '../snapshots/images.ts';
import { attempt, since } from './attempt.ts';
import type { MachineFinding } from './finding.ts';

/** Pauses and resumes a machine, keeps it as a snapshot and removes that. Returns what works. */
export async function tryChanges(shared: Shared, id: string, signal: AbortSignal): Promise<MachineFinding[]> {
  const container = shared.engine.docker.getContainer(shared.names.machine(id));
  return [
    await attempt('pause', async () => {
      const began = performance.now();
      await pauseContainer(container);
      const paused = since(began);
      const resumed = performance.now();
      await resumeContainer(shared, id, container, signal);
      return `a machine pauses in ${paused} and resumes in ${since(resumed)}`;
    }),
    await attempt('snapshot', async () => {
      const began = performance.now();
      const { ref } = await takeSnapshot(shared, container, 'doctor', signal);
      const took = since(began);
      await removeImage(shared.engine, ref);
      return `a small change is kept in ${took}`;
    }),
  ];
}
