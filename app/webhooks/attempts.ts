import type { Delivery } from '../../db/webhooks/deliveries.ts';
import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import { secretsOf } from '../../db/webhooks/secrets.ts';
import type { Context } from '../context.ts';
import type { EndpointQueue } from './endpoint-queue.ts';
import type { Result } from './recorder.ts';
import { send } from './request/send.ts';
import { signedHeaders } from './request/signature.ts';
import { afterAttempt } from './retry.ts';
import { Slots } from './slots.ts';

type Running = { controller: AbortController; done: Promise<void> };

/** The attempts in flight, for all endpoints of all owners. */
export class Attempts {
  readonly #context: Pick<Context, 'config' | 'now'>;
  readonly #onResult: (result: Result) => void;
  readonly #slots = new Slots();
  readonly #running = new Set<Running>();
  #isAborting = false;

  /** Calls `onResult` for each attempt, except those that `abortAll` ends. */
  constructor(context: Pick<Context, 'config' | 'now'>, onResult: (result: Result) => void) {
    this.#context = context;
    this.#onResult = onResult;
  }

  /** Starts to send a delivery. Returns false when no slot is free. */
  start(queue: EndpointQueue, endpoint: Endpoint, delivery: Delivery): boolean {
    const controller = new AbortController();
    const evict = () => controller.abort(new Error('aborted: another owner needed the slot'));
    const slot = { ownerId: queue.ownerId, evict };
    if (!this.#slots.acquire(slot)) return false;
    queue.inFlight.add(delivery.id);
    const running: Running = { controller, done: Promise.resolve() };
    running.done = this.#attempt(queue, endpoint, delivery, controller).finally(() => {
      this.#slots.release(slot);
      this.#running.delete(running);
    });
    this.#running.add(running);
    return true;
  }

  /** Aborts all attempts and discards their results. */
  async abortAll(): Promise<void> {
    this.#isAborting = true;
    const all = [...this.#running];
    for (const { controller } of all) controller.abort(new Error('aborted'));
    await Promise.all(all.map(({ done }) => done));
    this.#isAborting = false;
  }

  async #attempt(
    queue: EndpointQueue,
    endpoint: Endpoint,
    delivery: Delivery,
    controller: AbortController,
  ): Promise<void> {
    const { now, config } = this.#context;
    const { body, attempts } = delivery;
    const begin = performance.now();
    const timer = abortAfter(endpoint.timeoutSeconds, controller);
    const headers = headersOf(endpoint, delivery, now());
    const outcome = await send(
      { url: endpoint.url, headers, body },
      { allowed: config.webhookAllow ?? [], connections: queue.connections, signal: controller.signal },
    );
    clearTimeout(timer);
    if (this.#isAborting) return;
    const at = now();
    queue.adapt(at, outcome, performance.now() - begin);
    const attempt = afterAttempt(at, attempts + 1, outcome, endpoint);
    this.#onResult({ queue, delivery, endpoint, outcome, at, attempt });
  }
}

/** Aborts an attempt after this time. Returns the timer. */
export function abortAfter(seconds: number, controller: AbortController): NodeJS.Timeout {
  const timeout = new Error(`no answer within ${seconds} seconds`);
  return setTimeout(() => controller.abort(timeout), seconds * 1000);
}

/** Returns the headers of a delivery's next attempt, at a time in milliseconds since 1970. */
export function headersOf(
  endpoint: Endpoint,
  { id, body, round, attempts }: Pick<Delivery, 'id' | 'body' | 'round' | 'attempts'>,
  time: number,
): Record<string, string> {
  const { id: endpointId, format } = endpoint;
  const attemptId = `${id}.${round}.${attempts + 1}`;
  return signedHeaders({ format, endpointId, id, attemptId, time, body, secrets: secretsOf(endpoint, time) });
}
