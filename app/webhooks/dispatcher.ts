/*
 * From an event to a request:
 *
 * 1. The transaction that records an event also queues it in the outbox, with the ids of the
 *    endpoints that want it (db/webhooks/outbox.ts). After the commit the event feed wakes the
 *    dispatcher; a timer wakes it too, because retries become due without an event.
 * 2. The outbox (outbox.ts) turns a batch of queued events into deliveries, one for each endpoint.
 * 3. Each endpoint has a queue (endpoint-queue.ts): its due deliveries in the database, and in
 *    memory its concurrency and backoff. The dispatcher serves the ready queues in turn, one owner
 *    after the other (endpoint-queues.ts).
 * 4. An attempt (attempts.ts) takes one of the process's slots (slots.ts), signs the delivery
 *    (request/signature.ts) and posts it (request/send.ts).
 * 5. The recorder (recorder.ts) saves results in batches. retry.ts says when to try again.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inTransaction } from '../../db/store.ts';
import { dueDeliveries, nextDue } from '../../db/webhooks/deliveries.ts';
import { type Endpoint, endpointsPending, findEndpoint } from '../../db/webhooks/endpoints.ts';
import type { Context } from '../context.ts';
import { Attempts } from './attempts.ts';
import type { EndpointQueue } from './endpoint-queue.ts';
import { EndpointQueues } from './endpoint-queues.ts';
import { Outbox } from './outbox.ts';
import { Recorder } from './recorder.ts';

/** How often to look for due deliveries, and how long to wait after an error. */
const intervalMilliseconds = 1000;

/** Pause between two passes, so that what arrives meanwhile is handled in one batch. */
const pauseMilliseconds = 50;

/** This many unsaved results end the pause early. */
const resultBatch = 16;

type Needed = Pick<Context, 'config' | 'store' | 'log' | 'now' | 'feed' | 'metrics'>;

/**
 * Sends events to webhook endpoints. Each step is on disk before the next one starts: a delivery is
 * created once, and sent until its receiver accepts it or its retries are used up.
 */
export class Dispatcher {
  readonly #context: Needed;
  readonly #outbox: Outbox;
  readonly #recorder: Recorder;
  readonly #attempts: Attempts;
  readonly #queues = new EndpointQueues();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  /** The running loop; null when there is nothing to do. */
  #loop: Promise<void> | null = null;
  #isWoken = false;
  #isStopped = false;
  /** Whether the deliveries that were pending at the start have their queues. */
  #isLoaded = false;
  #endPause = () => {};

  constructor(context: Needed) {
    this.#context = context;
    this.#outbox = new Outbox(context.store.db, context.now);
    this.#recorder = new Recorder(context);
    this.#attempts = new Attempts(context, (result) => {
      this.#recorder.add(result);
      if (this.#recorder.pending >= resultBatch) this.#endPause();
      this.wake();
    });
    this.#timer = setInterval(() => this.wake(), intervalMilliseconds);
    this.#timer.unref();
    this.#unsubscribe = context.feed.subscribe(null, () => this.wake());
  }

  /**
   * Looks for deliveries to send; given an endpoint, clears its backoff and sends to it at once.
   */
  wake(endpoint?: Pick<Endpoint, 'id' | 'ownerId'>): void {
    if (this.#isStopped) return;
    if (endpoint) this.#queues.of(endpoint).resetBackoff();
    this.#isWoken = true;
    this.#loop ??= this.#run().finally(() => {
      this.#loop = null;
      if (this.#isWoken) this.wake();
    });
  }

  /** Aborts all attempts, drops all state, and sends nothing until `change` has resolved. */
  async startOver(change: () => Promise<void>): Promise<void> {
    await this.#halt();
    this.#recorder.clear();
    this.#isLoaded = false;
    try {
      await change();
    } finally {
      this.#isStopped = false;
      this.wake();
    }
  }

  /**
   * Stops sending. Aborted attempts are repeated after the next start, with the same message id.
   */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    await this.#halt();
    const { log } = this.#context;
    await this.#recorder.finish().catch((error) => log.error({ err: error }, 'webhook results could not be saved'));
  }

  async #halt(): Promise<void> {
    this.#isStopped = true;
    this.#endPause();
    await this.#loop;
    await this.#attempts.abortAll();
    this.#queues.clear();
  }

  async #run(): Promise<void> {
    const { log } = this.#context;
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      try {
        if (await this.#pass()) this.#isWoken = true;
        else await this.#pause(pauseMilliseconds);
      } catch (error) {
        log.error({ err: error }, 'webhooks are delayed by an error');
        await this.#pause(intervalMilliseconds);
      }
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isStopped) return resolve();
      const timer = setTimeout(resolve, milliseconds);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Saves a batch of results, turns a batch of events into deliveries, then sends a batch.
   * Returns whether there is more to do at once.
   */
  async #pass(): Promise<boolean> {
    if (!this.#isLoaded) await this.#load();
    const hasWritten = this.#recorder.pending > 0 || (await this.#outbox.hasEvents());
    if (hasWritten) await this.#write();
    const hasMoreToSend = await this.#send();
    return hasMoreToSend || this.#recorder.pending >= resultBatch || (hasWritten && (await this.#outbox.hasEvents()));
  }

  /** Results and deliveries share a transaction, because each commit waits for the disk. */
  async #write(): Promise<void> {
    const { store, now } = this.#context;
    const { afterCommit, endpoints } = await inTransaction(store.db, async (trx) => ({
      afterCommit: await this.#recorder.record(trx),
      endpoints: await this.#outbox.createDeliveries(trx),
    }));
    const queues = [...afterCommit(), ...endpoints.map((endpoint) => this.#queues.of(endpoint))];
    for (const queue of queues) queue.pollAt(now());
  }

  async #load(): Promise<void> {
    for (const endpoint of await endpointsPending(this.#context.store.db))
      this.#queues.of(endpoint).pollAt(endpoint.nextAttemptAt);
    this.#isLoaded = true;
  }

  /** Sends from a batch of ready queues. Returns whether others are ready. */
  async #send(): Promise<boolean> {
    this.#queues.evictIdle();
    const { queues, hasMore } = this.#queues.ready(this.#context.now());
    for (const queue of queues) {
      if (this.#isStopped) return false;
      await this.#sendDue(queue).catch((error) => {
        queue.pollAt(this.#context.now());
        throw error;
      });
      // Let HTTP requests run in between.
      await nextTurn();
    }
    return hasMore;
  }

  /** Starts as many of an endpoint's due deliveries as it may send, and schedules the next poll. */
  async #sendDue(queue: EndpointQueue): Promise<void> {
    const { store, now } = this.#context;
    const available = this.#queues.availableFor(queue);
    if (available === 0) return;
    this.#queues.moveToBack(queue);
    // Cleared before the queries, because `pollAt` may be called while they run.
    queue.nextPoll = Number.POSITIVE_INFINITY;
    const endpoint = await findEndpoint(store.db, queue.id);
    if (!endpoint?.isEnabled) return;
    const limit = queue.inFlight.size + available;
    const due = await dueDeliveries(store.db, now(), queue.id, limit);
    const waiting = due.filter(({ id }) => !queue.inFlight.has(id)).slice(0, available);
    const areStarted = waiting.every((delivery) => this.#attempts.start(queue, endpoint, delivery));
    const isDrained = areStarted && due.length < limit;
    queue.pollAt(isDrained ? await nextDue(store.db, now(), queue.id) : now());
  }
}
