import { setTimeout as delay } from 'node:timers/promises';
import { type Delivery, dueDeliveries, recordAttempt } from '../../db/deliveries.ts';
import { write } from '../../db/sqlite.ts';
import { disableEndpoint, type Endpoint, listEnabledEndpoints } from '../../db/webhooks.ts';
import type { Context } from '../server.ts';
import { Collector } from './collector.ts';
import { afterAttempt, isGone } from './retry.ts';
import { send } from './send.ts';
import { signedHeaders } from './signature.ts';

/** Messages under way: in all, and to one endpoint. */
const maxUnderWay = 32;
const maxUnderWayToOne = 4;

/** How often it looks for what is due, in milliseconds. */
const interval = 1000;

/** How long it leaves a message alone of which it can't note what came of it, the disk being full, say. */
const putOffMilliseconds = 60_000;

/**
 * Makes messages of events, for every endpoint that wants them, and sends what is due. Each step is on disk before the
 * next: a message is made once, and sent until its receiver has said yes or it has failed for good.
 */
export class Dispatcher {
  readonly #context: Context;
  readonly #collector: Collector;
  readonly #stopping = new AbortController();
  readonly #underWay = new Map<string, { endpointId: string; done: Promise<void> }>();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #pass: Promise<void> | null = null;
  #isWanted = false;

  constructor(context: Context) {
    this.#context = context;
    this.#collector = new Collector(context.store.db, context.now);
    this.#timer = setInterval(() => this.wake(), interval);
    this.#timer.unref();
    this.#unsubscribe = context.feed.subscribe(() => this.wake());
  }

  /** Says that there may be something to send. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#isWanted = true;
    this.#pass ??= this.#run().finally(() => {
      this.#pass = null;
    });
  }

  /** Has it look at every event again that endpoints have not had: the store is another. */
  forget(): void {
    this.#collector.forget();
  }

  /** Stops sending; what was under way is sent again after the next start, under the same id. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe();
    this.#stopping.abort();
    await this.#pass;
    await Promise.all([...this.#underWay.values()].map(({ done }) => done));
  }

  async #run(): Promise<void> {
    const { store, log } = this.#context;
    try {
      while (this.#isWanted && !this.#stopping.signal.aborted) {
        this.#isWanted = false;
        for (const endpoint of await listEnabledEndpoints(store.db)) {
          while (await this.#collector.step(endpoint));
          await this.#sendDue(endpoint);
        }
      }
    } catch (error) {
      log.error({ err: error }, 'webhooks are put off');
    }
  }

  async #sendDue(endpoint: Endpoint): Promise<void> {
    const toOne = [...this.#underWay.values()].filter(({ endpointId }) => endpointId === endpoint.id).length;
    const free = Math.min(maxUnderWayToOne - toOne, maxUnderWay - this.#underWay.size);
    if (free <= 0) return;
    const { store, now } = this.#context;
    const due = await dueDeliveries(store.db, now(), endpoint.id, maxUnderWayToOne + free);
    const waiting = due.filter(({ id }) => !this.#underWay.has(id)).slice(0, free);
    for (const delivery of waiting) this.#start(delivery, endpoint);
  }

  #start(delivery: Delivery, endpoint: Endpoint): void {
    const { log } = this.#context;
    const { signal } = this.#stopping;
    const done = this.#deliver(delivery, endpoint)
      .catch(async (error) => {
        log.error({ err: error, delivery: delivery.id }, 'webhook delivery failed');
        await delay(putOffMilliseconds, undefined, { ref: false, signal }).catch(() => {});
      })
      .finally(() => {
        this.#underWay.delete(delivery.id);
        this.wake();
      });
    this.#underWay.set(delivery.id, { endpointId: endpoint.id, done });
  }

  async #deliver({ id, body, attempts }: Delivery, endpoint: Endpoint): Promise<void> {
    const { store, now, log, config } = this.#context;
    const headers = signedHeaders(id, now(), body, secretsOf(endpoint, now()));
    const outcome = await send({ url: endpoint.url, headers, body }, config.webhookAllow ?? [], this.#stopping.signal);
    if (this.#stopping.signal.aborted) return;
    const attempt = afterAttempt(now(), attempts + 1, outcome);
    await write(store.db, async (trx) => {
      await recordAttempt(trx, now(), id, attempt);
      if (isGone(outcome)) await disableEndpoint(trx, now(), endpoint);
    });
    if (attempt.status !== 'succeeded')
      log.warn({ delivery: id, endpoint: endpoint.id, ...outcome }, 'webhook refused');
  }
}

/** While one secret takes another's place a receiver may know either. */
function secretsOf({ secret, oldSecret, oldSecretUntil }: Endpoint, now: number): string[] {
  return oldSecret !== null && oldSecretUntil !== null && now < oldSecretUntil ? [secret, oldSecret] : [secret];
}
