import { inTransaction, type Trx } from '../../db/store.ts';
import { type Attempt, type Delivery, recordAttempt } from '../../db/webhooks/deliveries.ts';
import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import { disableEndpoint, noteFailure, noteSuccess } from '../../db/webhooks/health.ts';
import type { Context } from '../context.ts';
import type { EndpointQueue } from './endpoint-queue.ts';
import type { Outcome } from './request/send.ts';
import { isGone } from './retry.ts';

/** How many results one transaction saves. */
const maxInBatch = 64;

/** The metric's outcome for each status of a delivery after an attempt. */
const outcomes = { succeeded: 'succeeded', pending: 'failed', failed: 'given_up' } as const;

/** An attempt's outcome, and what it means for the delivery. */
export type Result = {
  queue: EndpointQueue;
  delivery: Delivery;
  endpoint: Endpoint;
  outcome: Outcome;
  attempt: Attempt;
  at: number;
};

/** Saves the results of attempts, in batches. */
export class Recorder {
  readonly #context: Pick<Context, 'store' | 'log' | 'metrics'>;
  #results: Result[] = [];

  constructor(context: Pick<Context, 'store' | 'log' | 'metrics'>) {
    this.#context = context;
  }

  add(result: Result): void {
    this.#results.push(result);
  }

  /** How many results are not saved yet. */
  get pending(): number {
    return this.#results.length;
  }

  clear(): void {
    this.#results = [];
  }

  /**
   * Writes a batch of results. Returns a function to call after the commit, which returns the
   * queues of the saved results. Until then the batch stays pending, so that a rollback loses
   * nothing.
   */
  async record(trx: Trx): Promise<() => Set<EndpointQueue>> {
    const results = this.#results.slice(0, maxInBatch);
    await writeResults(trx, results);
    return () => {
      this.#results = this.#results.slice(results.length);
      for (const result of results) this.#complete(result);
      return new Set(results.map(({ queue }) => queue));
    };
  }

  /** Saves all results. */
  async finish(): Promise<void> {
    while (this.pending > 0) (await inTransaction(this.#context.store.db, (trx) => this.record(trx)))();
  }

  #complete({ queue, delivery, endpoint, outcome, attempt }: Result): void {
    const { log, metrics } = this.#context;
    queue.inFlight.delete(delivery.id);
    if (attempt.nextAttemptAt !== null) queue.pollAt(attempt.nextAttemptAt);
    metrics?.webhookSent(outcomes[attempt.status]);
    if (attempt.status === 'succeeded') return;
    log.warn({ delivery: delivery.id, endpoint: endpoint.id, ...outcome }, 'webhook not accepted');
  }
}

async function writeResults(trx: Trx, results: Result[]): Promise<void> {
  /** Endpoints whose success is noted, and that have not failed since. */
  const succeeded = new Set<string>();
  for (const { delivery, endpoint, outcome, attempt, at } of results) {
    await recordAttempt(trx, at, delivery, attempt);
    if (attempt.status === 'succeeded') {
      if (!succeeded.has(endpoint.id)) await noteSuccess(trx, endpoint.id);
      succeeded.add(endpoint.id);
      continue;
    }
    succeeded.delete(endpoint.id);
    if (isGone(outcome)) await disableEndpoint(trx, at, endpoint);
    else await noteFailure(trx, at, endpoint);
  }
}
