import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Serving } from '../../helpers/processes/process.ts';
import { type Tally, writeOn } from '../model/client.ts';
import { Model } from '../model/model.ts';
import { readDuring } from '../model/reads.ts';
import { type Findings, noFindings, verify } from '../model/verify.ts';
import { serveOn } from './kills.ts';
import { breakDown, fillUp, lock, type Mount, mountImage, mountMemory } from './mounts.ts';

/**
 * `reads` counts reads during the failure; `recovered` counts writes acknowledged after it
 * without a restart.
 */
export type DiskResult = Findings & Tally & { reads: number; recovered: number };

type Trial = { mount: Mount; server: Serving; model: Model; result: DiskResult };

/** The number of responses of a kind that each part of a trial waits for. */
const enough = 20;
const waitMilliseconds = 20_000;

/**
 * Fills the file system under a server during writes, and then frees space. Reads must continue,
 * writes must be refused and then work again without a restart, and every acknowledged write must
 * survive, also after a kill. Returns null if this user cannot mount.
 */
export async function tortureFull(parent: string, seed: number): Promise<DiskResult | null> {
  const mount = mountMemory(8, parent);
  if (!mount) return null;
  const trial = await begin(mount);
  try {
    await failAndRecover(trial, seed, () => fillUp(mount));
    await trial.server.stop('SIGKILL');
    await verifyAgain(trial);
  } finally {
    await trial.server.stop('SIGKILL');
    mount.unmount();
  }
  return trial.result;
}

/**
 * Makes the database's files immutable during writes and reverts that; then makes the file system
 * fail, as with a broken disk, and remounts it. Returns null if this user cannot mount.
 */
export async function tortureReadOnly(parent: string, image: string, seed: number): Promise<DiskResult | null> {
  const mount = mountImage(image, parent);
  if (!mount) return null;
  const trial = await begin(mount);
  try {
    await failAndRecover(trial, seed, () => lock(fileOn(mount)));
    await whileWriting(trial, seed + 1, async () => {
      breakDown(mount);
      await failing(trial);
    });
    await trial.server.stop('SIGKILL');
    mount.unmount();
    trial.mount = mountImage(image, parent) ?? mount;
    await verifyAgain(trial);
  } finally {
    await trial.server.stop('SIGKILL');
    trial.mount.unmount();
  }
  return trial.result;
}

function fileOn({ dir }: Mount): string {
  return join(dir, 'sandpit.db');
}

async function begin(mount: Mount): Promise<Trial> {
  const result = { ...noFindings(), acknowledged: 0, refused: {}, lies: [], reads: 0, recovered: 0 };
  try {
    return { mount, server: await serveOn(fileOn(mount)), model: new Model(), result };
  } catch (error) {
    mount.unmount();
    throw error;
  }
}

/** `fail` returns a function that reverts the failure. */
async function failAndRecover(trial: Trial, seed: number, fail: () => () => void): Promise<void> {
  const { result, mount, server, model } = trial;
  await whileWriting(trial, seed, async () => {
    await until('writes', () => result.acknowledged >= enough);
    const undo = fail();
    try {
      await failing(trial);
    } finally {
      undo();
    }
    const before = result.acknowledged;
    await until('writes after the failure', () => result.acknowledged >= before + enough || hasLied(result));
    result.recovered = result.acknowledged - before;
  });
  await verify(fileOn(mount), server.url, model, result, true);
}

async function whileWriting({ server, model, result }: Trial, seed: number, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  // Slowly, because otherwise the client alone would fill the disk.
  const writing = writeOn({ url: server.url, model, tally: result, seed, signal: stop.signal, pause: 20 });
  try {
    await work();
  } finally {
    stop.abort();
    await writing;
  }
}

/** Waits for refusals, and meanwhile reads sandboxes that must exist. */
async function failing({ server, model, result }: Trial): Promise<void> {
  const before = refusals(result);
  await until('refusals', async () => {
    for (const id of [...model.entries.keys()].slice(0, 5)) {
      await readDuring(server.url, model, id, result.lies);
      result.reads++;
    }
    return refusals(result) >= before + enough || hasLied(result);
  });
}

/** Nothing is left to wait for. */
function hasLied({ lies }: Tally): boolean {
  return lies.length > 0;
}

function refusals({ refused }: Tally): number {
  return Object.values(refused).reduce((sum, count) => sum + count, 0);
}

/** Restarts the server and compares everything with the model. */
async function verifyAgain(trial: Trial): Promise<void> {
  const { mount, model, result } = trial;
  trial.server = await serveOn(fileOn(mount));
  for (const id of model.entries.keys()) model.touch(id);
  await verify(fileOn(mount), trial.server.url, model, result, true);
}

/** Throws an Error after the deadline. */
async function until(what: string, isDone: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMilliseconds;
  while (!(await isDone())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(5);
  }
}
