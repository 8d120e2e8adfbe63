import type { Logger } from 'pino';
import { forgetUnnamed, namedRefs } from '../../../db/machines/snapshots.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Driver, FoundSnapshot } from '../driver.ts';
import { untilAborted } from '../until-aborted.ts';

/** How often the driver is asked what it holds: crashes and other processes leave something. */
const intervalMilliseconds = 30_000;

/** How long one question to the driver may take. */
const answerMilliseconds = 30_000;

type Dependencies = { store: Store; log: Logger; driver: Driver };

/** Work that makes something which the driver lists before a row names it. */
type Work = object;

/** Removes, in the background, what the driver holds of snapshots and no snapshot refers to. */
export class Collector {
  readonly #dependencies: Dependencies;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Work>();
  /** References that no snapshot will ever name. */
  #garbage = new Set<string>();
  /** References that no row names, with the work of which they may be. */
  #suspects = new Map<string, Set<Work>>();
  /** Whether a machine keeps the driver from removing something. */
  #isBlocked = false;
  #running: Promise<void> | undefined;
  #mustLookAgain = false;
  #hasFailed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), intervalMilliseconds).unref();
    this.wake();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort(new Error('the server is stopping'));
    await this.#running;
  }

  /** Does work and spares what the driver holds of it until a row names that, or the work ends. */
  async sparing<T>(work: () => Promise<T>): Promise<T> {
    const token: Work = {};
    this.#underWay.add(token);
    try {
      return await work();
    } finally {
      this.#underWay.delete(token);
    }
  }

  /** Removes what was taken in vain. */
  discard(ref: string): void {
    this.#garbage.add(ref);
    this.wake();
  }

  /** Tells it that a machine is gone, which may have kept something from being removed. */
  machineGone(): void {
    if (this.#isBlocked) this.wake();
  }

  /** Looks for something to remove, now or after the look that is under way. */
  wake(): void {
    this.#mustLookAgain = true;
    if (!this.#running) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#mustLookAgain && !this.#stopping.signal.aborted) {
      this.#mustLookAgain = false;
      try {
        if (this.#dependencies.driver.features.has('snapshot')) await this.#collect();
        this.#hasFailed = false;
      } catch (error) {
        this.#warn(error);
      }
    }
    this.#running = undefined;
  }

  async #collect(): Promise<void> {
    const { store, driver } = this.#dependencies;
    const forgotten = await inTransaction(store.db, forgetUnnamed);
    for (const ref of forgotten) this.#garbage.add(ref);
    const garbage = new Set(this.#garbage);
    const found = await this.#answer(driver.snapshots());
    const listed = new Set(found.map(({ ref }) => ref));
    for (const ref of garbage.difference(listed)) this.#garbage.delete(ref);
    // Before the rows are read: work that ends in between has its row by then.
    const underWay = new Set(this.#underWay);
    const named = await namedRefs(store.db);
    const unknown = found.filter(({ ref }) => !named.has(ref));
    const removable = this.#withoutSpared(unknown, underWay);
    this.#isBlocked = unknown.some(({ isUsed }) => isUsed);
    for (const { ref } of removable.filter(({ isUsed }) => !isUsed)) {
      const isRemoved = await this.#answer(driver.removeSnapshot(ref)).then(
        () => true,
        (error) => this.#warn(error, ref),
      );
      this.#stopping.signal.throwIfAborted();
      // It may have been based on another, which nothing uses now.
      if (isRemoved && this.#isBlocked) this.#mustLookAgain = true;
    }
  }

  /** Leaves out what may belong to work that was under way when it was seen first. */
  #withoutSpared(unknown: FoundSnapshot[], underWay: Set<Work>): FoundSnapshot[] {
    const suspects = unknown.map(({ ref }) => {
      const works = this.#suspects.get(ref) ?? underWay;
      return [ref, works.intersection(underWay)] as const;
    });
    this.#suspects = new Map(suspects);
    return unknown.filter(({ ref }) => this.#garbage.has(ref) || this.#suspects.get(ref)?.size === 0);
  }

  async #answer<T>(asked: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    return untilAborted(asked, AbortSignal.any([signal, AbortSignal.timeout(answerMilliseconds)]));
  }

  #warn(error: unknown, ref?: string): void {
    // Once: the engine may be away for hours.
    if (this.#hasFailed || this.#stopping.signal.aborted) return;
    this.#hasFailed = true;
    this.#dependencies.log.warn({ err: error, ref }, 'snapshots could not be removed: trying again');
  }
}
