import { setTimeout as delay } from 'node:timers/promises';
import type { FoundMachine, MachineState } from '../driver.ts';
import { MachineError } from '../error.ts';
import type { Places } from './places.ts';
import { deadlines, type Msb } from './runtime/msb.ts';

/** A machine in what `msb list` prints. */
type Listed = { name: string; status: string };

/** What msb calls a machine that has ended or is about to. */
const ended = /^(stopped|crashed|failed|exited|draining|stopping)$/i;

/** Returns the machines of this Sandpit. Finishes pauses that an earlier server did not see end. */
export async function listMachines(msb: Msb, places: Places, isBusy: (id: string) => boolean): Promise<FoundMachine[]> {
  const listed = await msb.json<Listed[]>(['list'], { doing: 'list the machines' });
  const found: FoundMachine[] = [];
  for (const { name, status } of listed) {
    const id = places.idOf(name);
    if (id === null) continue;
    if (!ended.test(status) && places.mark(id) === 'pausing' && !isBusy(id)) await pause(msb, places, id);
    found.push({ id, state: stateOf(status, places.mark(id) !== null) });
  }
  return found;
}

function stateOf(status: string, isPaused: boolean): MachineState {
  if (ended.test(status)) return 'stopped';
  return isPaused ? 'paused' : 'running';
}

/** Freezes a machine. The mark comes first: msb can't say afterwards whether it is frozen. */
export async function pause(msb: Msb, places: Places, id: string): Promise<void> {
  if (!places.exists(id)) throw new MachineError('gone', 'the machine does not exist');
  if (places.mark(id) === 'paused') return;
  places.setMark(id, 'pausing');
  try {
    await msb.run(['pause', '-q', places.name(id)], { doing: 'pause the machine' });
  } catch (error) {
    // It may be frozen all the same, and must not be when the sandbox stays active.
    await thaw(msb, places, id).catch(() => {});
    throw error;
  }
  places.setMark(id, 'paused');
}

/** Lets a machine go on. One that runs is no error. */
export async function thaw(msb: Msb, places: Places, id: string): Promise<void> {
  if (places.mark(id) !== null) places.setMark(id, 'pausing');
  await msb.run(['resume', '-q', places.name(id)], { doing: 'resume the machine' });
  places.setMark(id, null);
}

/** Seconds for a machine to end by itself, with all files written; then it is killed. */
const stopSeconds = 10;

/** Ends a machine's processes and keeps its files. */
export async function stop(msb: Msb, places: Places, id: string): Promise<void> {
  const name = places.name(id);
  const state = await stateNow(msb, places, id);
  if (state === null) throw new MachineError('gone', 'the machine does not exist');
  if (state !== 'stopped') {
    // A frozen one can't write its files.
    if (state === 'paused') await thaw(msb, places, id);
    const milliseconds = 3 * stopSeconds * 1000;
    await msb
      .run(['stop', '-q', '-t', String(stopSeconds), name], { doing: 'stop the machine', milliseconds })
      .catch(() => msb.run(['stop', '-q', '-f', name], { doing: 'stop the machine' }));
  }
  places.setMark(id, null);
}

/** Returns the state of a machine, or null if there is none. */
export async function stateNow(msb: Msb, places: Places, id: string): Promise<MachineState | null> {
  const found = await listMachines(msb, places, () => true);
  return found.find((each) => each.id === id)?.state ?? null;
}

/** Ends a machine with everything in it. A missing one is no error. */
export async function remove(msb: Msb, places: Places, id: string): Promise<void> {
  // Not -q: it would hide the reason of a failure.
  const args = ['remove', '-f', places.name(id)];
  try {
    await msb.run(args, { doing: 'remove the machine', milliseconds: deadlines.change }).catch(async (error) => {
      if ((error as MachineError).code === 'gone') throw error;
      // A machine that ends at this moment is gone a moment later.
      await delay(250);
      await msb.run(args, { doing: 'remove the machine' });
    });
  } catch (error) {
    if ((error as MachineError).code !== 'gone') throw error;
  }
  places.forget(id);
}
