import type { Delivery } from '../../db/webhooks/deliveries.ts';
import { type Endpoint, secretsOf } from '../../db/webhooks/endpoints.ts';
import type { Context } from '../context.ts';
import type { Lane } from './endpoint-queue.ts';
import type { Result } from './recorder.ts';
import { send } from './request/send.ts';
import { signedHeaders } from './request/signature.ts';
import { afterAttempt } from './retry.ts';
import { Places } from './slots.ts';

/** How long a receiver may take to answer (Standard Webhooks, "Request timeout"). */
const timeoutMilliseconds = 15_000;

type Underway = { stop: AbortController; done: Promise<void> };

/** The attempts under way. */
export class Attempts {
  readonly #context: Pick<Context, 'config' | 'now'>;
  readonly #tell: (result: Result) => void;
  readonly #places = new Places();
  readonly #underWay = new Set<Underway>();
  #isGivenUp = false;

  /** Calls `tell` with the result of each attempt that is not given up. */
  constructor(context: Pick<Context, 'config' | 'now'>, tell: (result: Result) => void) {
    this.#context = context;
    this.#tell = tell;
  }

  /** Begins to send a message; returns false where there is no place for it now. */
  start(lane: Lane, endpoint: Endpoint, delivery: Delivery): boolean {
    const stop = new AbortController();
    const place = { ownerId: lane.ownerId, cutOff: () => stop.abort(new Error('cut off: others needed its place')) };
    if (!this.#places.take(place)) return false;
    lane.underWay.add(delivery.id);
    const attempt: Underway = { stop, done: Promise.resolve() };
    attempt.done = this.#attempt(lane, endpoint, delivery, stop).finally(() => {
      this.#places.release(place);
      this.#underWay.delete(attempt);
    });
    this.#underWay.add(attempt);
    return true;
  }

  /** Ends all attempts without a result. */
  async giveUp(): Promise<void> {
    this.#isGivenUp = true;
    const underWay = [...this.#underWay];
    for (const { stop } of underWay) stop.abort(new Error('given up'));
    await Promise.all(underWay.map(({ done }) => done));
    this.#isGivenUp = false;
  }

  async #attempt(lane: Lane, endpoint: Endpoint, delivery: Delivery, stop: AbortController): Promise<void> {
    const { now, config } = this.#context;
    const { id, body, attempts } = delivery;
    const begin = performance.now();
    const late = new Error(`no answer within ${timeoutMilliseconds / 1000} seconds`);
    const timer = setTimeout(() => stop.abort(late), timeoutMilliseconds);
    const headers = signedHeaders(id, now(), body, secretsOf(endpoint, now()));
    const sending = { allowed: config.webhookAllow ?? [], connections: lane.connections, signal: stop.signal };
    const outcome = await send({ url: endpoint.url, headers, body }, sending);
    clearTimeout(timer);
    if (this.#isGivenUp) return;
    const at = now();
    lane.note(at, outcome, performance.now() - begin);
    this.#tell({ lane, delivery, endpoint, outcome, at, attempt: afterAttempt(at, attempts + 1, outcome) });
  }
}
