import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { type Delivery, dueDeliveries, recordAttempt } from '../../db/deliveries.ts';
import { write } from '../../db/sqlite.ts';
import { disableEndpoint, type Endpoint, endpointsBehind, endpointsDue, secretsOf } from '../../db/webhooks.ts';
import type { Context } from '../server.ts';
import { Collector } from './collector.ts';
import { afterAttempt, isGone } from './retry.ts';
import { send } from './send.ts';
import { signedHeaders } from './signature.ts';

/** Messages under way: in all, of one owner, and to one endpoint. */
const maxUnderWay = 32;
const maxUnderWayOfOne = 8;
const maxUnderWayToOne = 4;

/** How often it looks for what is due, and how long it rests between two looks at the least, in milliseconds. */
const interval = 1000;
const pause = 50;

/** How long it leaves a message alone of which it can't note what came of it, the disk being full, say. */
const putOffMilliseconds = 60_000;

/** What an attempt comes to, by what the message is after it. */
const outcomes = { succeeded: 'succeeded', pending: 'failed', failed: 'given_up' } as const;

type Sending = { endpoint: Endpoint; stop: AbortController; done: Promise<void> };

/**
 * Makes messages of events, for every endpoint that wants them, and sends what is due. Each step is on disk before the
 * next: a message is made once, and sent until its receiver has said yes or it has failed for good.
 */
export class Dispatcher {
  readonly #context: Context;
  readonly #collector: Collector;
  readonly #stopping = new AbortController();
  readonly #underWay = new Map<string, Sending>();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #pass: Promise<void> | null = null;
  #isWanted = false;
  #isHeld = false;
  /** The endpoint that was served last: others are served before it is again. */
  #lastServed = '';

  constructor(context: Context) {
    this.#context = context;
    this.#collector = new Collector(context.store.db, context.now);
    this.#timer = setInterval(() => this.wake(), interval);
    this.#timer.unref();
    this.#unsubscribe = context.feed.subscribe(null, () => this.wake());
  }

  /** Says that there may be something to send. */
  wake(): void {
    if (this.#isStopped) return;
    this.#isWanted = true;
    this.#pass ??= this.#run().finally(() => {
      this.#pass = null;
    });
  }

  /** Gives up what is under way, forgets what it has seen, and sends nothing until the store has become another by `change`. */
  async startOver(change: () => Promise<void>): Promise<void> {
    this.#isHeld = true;
    try {
      await this.#pass;
      await this.#giveUp();
      this.#collector.forget();
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
    this.#stopping.abort();
    await this.#pass;
    await this.#giveUp();
  }

  get #isStopped(): boolean {
    return this.#isHeld || this.#stopping.signal.aborted;
  }

  async #giveUp(): Promise<void> {
    const sendings = [...this.#underWay.values()];
    for (const { stop } of sendings) stop.abort();
    await Promise.all(sendings.map(({ done }) => done));
  }

  async #run(): Promise<void> {
    const { log } = this.#context;
    const { signal } = this.#stopping;
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      const isBehind = await this.#look().catch((error) => log.error({ err: error }, 'webhooks are put off'));
      if (isBehind) this.#isWanted = true;
      // Of events that come one by one all but the first are taken up together.
      else await delay(pause, undefined, { signal }).catch(() => {});
    }
  }

  /** Has what happened become messages, some of it, and sends some. Returns whether there may be more that happened. */
  async #look(): Promise<boolean> {
    const isBehind = await this.#collect();
    await this.#send();
    return isBehind;
  }

  /** One step for each endpoint: nobody waits until another's are all done. Requests get their turn between any two. */
  async #collect(): Promise<boolean> {
    this.#collector.readAnew();
    const behindLog = (await endpointsBehind(this.#context.store.db)).filter((each) => this.#collector.isBehind(each));
    let isBehind = false;
    for (const { id } of behindLog) {
      if (this.#isStopped) return false;
      if (await this.#collector.step(id)) isBehind = true;
      await nextTurn();
    }
    return isBehind;
  }

  async #send(): Promise<void> {
    const { store, now } = this.#context;
    const due = await endpointsDue(store.db, now());
    const behind = due.findIndex(({ id }) => id > this.#lastServed);
    const inTurn = behind < 0 ? due : [...due.slice(behind), ...due.slice(0, behind)];
    for (const endpoint of inTurn) {
      if (this.#isStopped) return;
      await this.#sendDue(endpoint);
      await nextTurn();
    }
  }

  async #sendDue(endpoint: Endpoint): Promise<void> {
    const sendings = [...this.#underWay.values()];
    const ofOwner = sendings.filter(({ endpoint: { ownerId } }) => ownerId === endpoint.ownerId);
    const toOne = ofOwner.filter(({ endpoint: { id } }) => id === endpoint.id);
    const free = Math.min(
      maxUnderWay - sendings.length,
      maxUnderWayOfOne - ofOwner.length,
      maxUnderWayToOne - toOne.length,
    );
    if (free <= 0) return;
    const { store, now } = this.#context;
    const due = await dueDeliveries(store.db, now(), endpoint.id, toOne.length + free);
    for (const delivery of due) if (!this.#underWay.has(delivery.id)) this.#start(delivery, endpoint);
    this.#lastServed = endpoint.id;
  }

  #start(delivery: Delivery, endpoint: Endpoint): void {
    const { log } = this.#context;
    const stop = new AbortController();
    const done = this.#deliver(delivery, endpoint, stop.signal)
      .catch(async (error) => {
        log.error({ err: error, delivery: delivery.id }, 'webhook delivery failed');
        await delay(putOffMilliseconds, undefined, { ref: false, signal: stop.signal }).catch(() => {});
      })
      .finally(() => {
        this.#underWay.delete(delivery.id);
        this.wake();
      });
    this.#underWay.set(delivery.id, { endpoint, stop, done });
  }

  async #deliver(delivery: Delivery, endpoint: Endpoint, stop: AbortSignal): Promise<void> {
    const { store, now, log, config } = this.#context;
    const { id, body, attempts } = delivery;
    const headers = signedHeaders(id, now(), body, secretsOf(endpoint, now()));
    const outcome = await send({ url: endpoint.url, headers, body }, config.webhookAllow ?? [], stop);
    if (stop.aborted) return;
    const attempt = afterAttempt(now(), attempts + 1, outcome);
    await write(store.db, async (trx) => {
      await recordAttempt(trx, now(), delivery, attempt);
      if (isGone(outcome)) await disableEndpoint(trx, now(), endpoint);
    });
    this.#context.metrics?.webhookSent(outcomes[attempt.status]);
    if (attempt.status !== 'succeeded')
      log.warn({ delivery: id, endpoint: endpoint.id, ...outcome }, 'webhook not taken');
  }
}
