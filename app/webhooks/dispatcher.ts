import { setImmediate as nextTurn } from 'node:timers/promises';
import { inTransaction } from '../../db/store.ts';
import { dueDeliveries, nextDue } from '../../db/webhooks/deliveries.ts';
import { type Endpoint, endpointsPending, findEndpoint } from '../../db/webhooks/endpoints.ts';
import type { Context } from '../context.ts';
import { Attempts } from './attempts.ts';
import type { Lane } from './endpoint-queue.ts';
import { Lanes } from './endpoint-queues.ts';
import { MessageMaker } from './outbox.ts';
import { Recorder } from './recorder.ts';

/** How often it looks for what is due, and how long it rests between two looks at most, in milliseconds. */
const interval = 1000;
const pause = 50;

/** So many results end a rest. */
const manyResults = 16;

type Needed = Pick<Context, 'config' | 'store' | 'log' | 'now' | 'feed' | 'metrics'>;

/**
 * Makes deliveries of queued events, and sends what is due. Each step is on disk before the next: a delivery is made
 * once, and sent until its receiver has said yes or it has failed for good.
 */
export class Dispatcher {
  readonly #context: Needed;
  readonly #maker: MessageMaker;
  readonly #recorder: Recorder;
  readonly #attempts: Attempts;
  readonly #lanes = new Lanes();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #pass: Promise<void> | null = null;
  #isWanted = false;
  #isHeld = false;
  /** Whether the lanes of all messages that an earlier process left are there. */
  #isLoaded = false;
  #endRest = () => {};

  constructor(context: Needed) {
    this.#context = context;
    this.#maker = new MessageMaker(context.store.db, context.now);
    this.#recorder = new Recorder(context);
    this.#attempts = new Attempts(context, (result) => {
      this.#recorder.add(result);
      if (this.#recorder.waiting >= manyResults) this.#endRest();
      this.wake();
    });
    this.#timer = setInterval(() => this.wake(), interval);
    this.#timer.unref();
    this.#unsubscribe = context.feed.subscribe(null, () => this.wake());
  }

  /** Says that there may be something to send; with an endpoint, that its owner wants it sent there at once. */
  wake(endpoint?: Pick<Endpoint, 'id' | 'ownerId'>): void {
    if (this.#isHeld) return;
    if (endpoint) this.#lanes.of(endpoint).beginAfresh();
    this.#isWanted = true;
    this.#pass ??= this.#run().finally(() => {
      this.#pass = null;
      if (this.#isWanted) this.wake();
    });
  }

  /** Gives up what is under way, forgets all it knows, and sends nothing until `change` has put another store in place. */
  async startOver(change: () => Promise<void>): Promise<void> {
    await this.#hold();
    this.#recorder.forget();
    this.#isLoaded = false;
    try {
      await change();
    } finally {
      this.#isHeld = false;
      this.wake();
    }
  }

  /** Stops sending; what was under way is sent again after the next start, under the same id. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#hold();
    const { log } = this.#context;
    await this.#recorder.finish().catch((error) => log.error({ err: error }, 'results of webhooks are lost'));
  }

  async #hold(): Promise<void> {
    this.#isHeld = true;
    this.#endRest();
    await this.#pass;
    await this.#attempts.giveUp();
    this.#lanes.clear();
  }

  async #run(): Promise<void> {
    const { log } = this.#context;
    while (this.#isWanted && !this.#isHeld) {
      this.#isWanted = false;
      try {
        if (await this.#look()) this.#isWanted = true;
        else await this.#rest(pause);
      } catch (error) {
        log.error({ err: error }, 'webhooks are put off');
        await this.#rest(interval);
      }
    }
  }

  /** What comes one by one meanwhile is taken up together. */
  #rest(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isHeld) return resolve();
      const timer = setTimeout(resolve, milliseconds);
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Records a batch of results, turns a batch of events into deliveries, and sends a batch. Returns whether there is more to do at once. */
  async #look(): Promise<boolean> {
    if (!this.#isLoaded) await this.#load();
    const isChanged = this.#recorder.waiting > 0 || (await this.#maker.hasWork());
    if (isChanged) await this.#inTransaction();
    const hasMore = await this.#send();
    return hasMore || this.#recorder.waiting >= manyResults || (isChanged && (await this.#maker.hasWork()));
  }

  /** One transaction for both: what a commit costs is the disk. */
  async #inTransaction(): Promise<void> {
    const { store, now } = this.#context;
    const { recorded, endpoints } = await inTransaction(store.db, async (trx) => ({
      recorded: await this.#recorder.record(trx),
      endpoints: await this.#maker.make(trx),
    }));
    for (const lane of [...recorded(), ...endpoints.map((endpoint) => this.#lanes.of(endpoint))]) lane.lookAt(now());
  }

  async #load(): Promise<void> {
    for (const endpoint of await endpointsPending(this.#context.store.db))
      this.#lanes.of(endpoint).lookAt(endpoint.nextAttemptAt);
    this.#isLoaded = true;
  }

  async #send(): Promise<boolean> {
    this.#lanes.tidy();
    const { lanes, hasMore } = this.#lanes.ready(this.#context.now());
    for (const lane of lanes) {
      if (this.#isHeld) return false;
      await this.#sendDue(lane).catch((error) => {
        lane.lookAt(this.#context.now());
        throw error;
      });
      // Requests get their turn.
      await nextTurn();
    }
    return hasMore;
  }

  /** Sends an endpoint's due messages as far as it has places, and notes when to look again. */
  async #sendDue(lane: Lane): Promise<void> {
    const { store, now } = this.#context;
    const free = this.#lanes.freeFor(lane);
    if (free === 0) return;
    this.#lanes.putLast(lane);
    // First, as it may be said meanwhile that there is more.
    lane.nextLook = Number.POSITIVE_INFINITY;
    const endpoint = await findEndpoint(store.db, lane.id);
    if (!endpoint?.isEnabled) return;
    const limit = lane.underWay.size + free;
    const due = await dueDeliveries(store.db, now(), lane.id, limit);
    const fresh = due.filter(({ id }) => !lane.underWay.has(id)).slice(0, free);
    const areStarted = fresh.every((delivery) => this.#attempts.start(lane, endpoint, delivery));
    const isAll = areStarted && due.length < limit;
    lane.lookAt(isAll ? await nextDue(store.db, now(), lane.id) : now());
  }
}
