import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { CompiledQuery } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Db, Trx } from '../schema.ts';

/** How many changes one transaction holds, and how long it runs before it is committed. */
const limits = { changes: 64, milliseconds: 8 };

/** How long to wait before the write lock is asked for again. */
const retryMilliseconds = 5;

type Change = {
  /** Makes the change. Returns a function that resolves who waits for it. */
  run: (trx: Trx) => Promise<() => void>;
  reject: (error: unknown) => void;
  /** when to give up waiting for another process, on the clock of `performance.now` */
  deadline: number;
};

/**
 * Group commit: changes that wait for the database at the same time share one transaction, and with
 * it one wait for the disk. Each is in a savepoint of its own, so that one that fails is taken back
 * alone. Nobody is told of a change before it is committed.
 */
class Group {
  readonly #db: Db;
  readonly #waiting: Change[] = [];
  #isRunning = false;

  constructor(db: Db) {
    this.#db = db;
  }

  add(change: Change): void {
    this.#waiting.push(change);
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Requests that have arrived together have their changes ready then.
      await nextTurn();
      await this.#runTogether();
    }
    // In the same step as the look at what waits, so that nothing comes in between.
    this.#isRunning = false;
  }

  async #runTogether(): Promise<void> {
    const tried: Change[] = [];
    const tell: (() => void)[] = [];
    try {
      await this.#db.transaction().execute(async (trx) => {
        const end = performance.now() + limits.milliseconds;
        for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
          tried.push(next);
          // The first one is taken back with the transaction.
          tell.push(await (tried.length === 1 ? next.run(unshared(trx)) : runApart(trx, next)));
          if (tried.length >= limits.changes || performance.now() > end) return;
        }
      });
    } catch (error) {
      if (tried.length === 0) return this.#retry(error);
      for (const { reject } of tried) reject(error);
      return;
    }
    for (const each of tell) each();
  }

  /** The transaction has not begun: all wait on, but those that have waited too long. */
  async #retry(error: unknown): Promise<void> {
    const isBusy = error instanceof StoreError && error.code === 'busy';
    const now = performance.now();
    for (const change of this.#waiting.splice(0)) {
      if (isBusy && now <= change.deadline) this.#waiting.push(change);
      else change.reject(error);
    }
    await delay(retryMilliseconds);
  }
}

/**
 * Makes a change in a savepoint. Returns what tells how it ended: one that fails is taken back, and
 * has seen what is not committed yet either. Throws if it can't be taken back: after a failure of
 * the disk SQLite has taken everything back.
 */
async function runApart(trx: Trx, { run, reject }: Change): Promise<() => void> {
  await trx.executeQuery(savepoint);
  try {
    const resolve = await run(unshared(trx));
    await trx.executeQuery(release);
    return resolve;
  } catch (error) {
    await trx.executeQuery(rollback).catch(() => {
      throw error;
    });
    await trx.executeQuery(release);
    return () => reject(error);
  }
}

const savepoint = CompiledQuery.raw('savepoint change');
const release = CompiledQuery.raw('release change');
const rollback = CompiledQuery.raw('rollback to change');

/** Returns an object of its own: what a change remembers by its transaction is not another's. */
function unshared(trx: Trx): Trx {
  return trx.withoutPlugins() as Trx;
}

const groups = new WeakMap<Db, Group>();

/**
 * Runs a change in a transaction that it may share with others, and returns its result once that is
 * on disk. Throws what the change throws; StoreError `busy` when another process keeps the write
 * lock for so many milliseconds, `full` or `inaccessible` when the disk fails.
 */
export function runGrouped<T>(db: Db, change: (trx: Trx) => Promise<T>, patience: number): Promise<T> {
  const group = groups.get(db) ?? new Group(db);
  groups.set(db, group);
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const run = async (trx: Trx) => {
    const result = await change(trx);
    return () => resolve(result);
  };
  group.add({ run, reject, deadline: performance.now() + patience });
  return promise;
}
