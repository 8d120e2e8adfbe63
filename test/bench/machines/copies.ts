import type { MachineRow, Quantiles } from './measured.ts';
import { milliseconds, quantiles, timed } from './measured.ts';
import type { Sandbox, Subject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

/** The SDK's `pause` and `connect` of one sandbox, in turns. */
export async function measurePause({ Sandbox }: Subject): Promise<Row[]> {
  const sandbox = await Sandbox.create();
  const resumes: number[] = [];
  const pauses: number[] = [];
  for (let n = 0; n < 53; n++) {
    pauses.push(...(await timed(1, () => sandbox.pause())));
    resumes.push(...(await timed(1, () => sandbox.connect())));
  }
  await sandbox.kill();
  // The first calls open connections.
  return [rowOf('pause', pauses.slice(3), 50), rowOf('connect to a paused sandbox', resumes.slice(3), 50)];
}

/** The SDK's `createSnapshot` and `fork` after a change of 1 MB. */
export async function measureCopies({ Sandbox }: Subject): Promise<Row[]> {
  const sandbox = await Sandbox.create();
  const change = (n: number) => sandbox.files.write('change', String(n % 10).repeat(1_000_000));
  const snapshots = await timedAfter(change, async () => {
    const { snapshotId } = await sandbox.createSnapshot();
    return () => Sandbox.deleteSnapshot(snapshotId);
  });
  const forks = await timedAfter(change, async () => {
    const [fork] = await sandbox.fork();
    if (!(fork instanceof Sandbox)) throw fork ?? new Error('no fork');
    return () => (fork as Sandbox).kill();
  });
  await sandbox.kill();
  return [rowOf('snapshot after a change of 1 MB', snapshots, 500), rowOf('fork after a change of 1 MB', forks, 500)];
}

/** Returns the times of `copy`, each after a change; what `copy` returns cleans up, untimed. */
async function timedAfter(
  change: (n: number) => Promise<unknown>,
  copy: () => Promise<() => Promise<unknown>>,
): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < 21; n++) {
    await change(n);
    let clean: () => Promise<unknown> = async () => {};
    const [time = 0] = await timed(1, async () => {
      clean = await copy();
    });
    await clean();
    times.push(time);
  }
  return times.slice(1);
}

function rowOf(what: string, times: number[], most: number): Row {
  const { p50, p95, count }: Quantiles = quantiles(times);
  return {
    what: `${what}, p50 / p95 of ${count}`,
    bar: `p95 at most ${most} ms`,
    measured: `${milliseconds(p50)} / ${milliseconds(p95)}`,
    met: p95 <= most,
  };
}
