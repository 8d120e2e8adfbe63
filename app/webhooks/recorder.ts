import { inTransaction, type Trx } from '../../db/store.ts';
import { type Attempt, type Delivery, recordAttempt } from '../../db/webhooks/deliveries.ts';
import { disableEndpoint, type Endpoint, noteFailure, noteSuccess } from '../../db/webhooks/endpoints.ts';
import type { Context } from '../context.ts';
import type { Lane } from './endpoint-queue.ts';
import type { Outcome } from './request/send.ts';
import { isGone } from './retry.ts';

/** Attempts whose results one transaction takes. */
const maxInStep = 64;

/** What an attempt comes to, by what the message is after it. */
const outcomes = { succeeded: 'succeeded', pending: 'failed', failed: 'given_up' } as const;

export type Result = {
  lane: Lane;
  delivery: Delivery;
  endpoint: Endpoint;
  outcome: Outcome;
  attempt: Attempt;
  at: number;
};

/** Puts the results of attempts on disk, those that came about the same time in one transaction. */
export class Recorder {
  readonly #context: Pick<Context, 'store' | 'log' | 'metrics'>;
  #results: Result[] = [];

  constructor(context: Pick<Context, 'store' | 'log' | 'metrics'>) {
    this.#context = context;
  }

  add(result: Result): void {
    this.#results.push(result);
  }

  get waiting(): number {
    return this.#results.length;
  }

  forget(): void {
    this.#results = [];
  }

  /** Records some of the results. Returns what is to be called once the transaction is on disk, which returns their lanes. */
  async record(trx: Trx): Promise<() => Set<Lane>> {
    const results = this.#results.slice(0, maxInStep);
    await recordAll(trx, results);
    return () => {
      this.#results = this.#results.slice(results.length);
      for (const result of results) this.#tell(result);
      return new Set(results.map(({ lane }) => lane));
    };
  }

  /** Records all of the results. */
  async finish(): Promise<void> {
    while (this.waiting > 0) (await inTransaction(this.#context.store.db, (trx) => this.record(trx)))();
  }

  #tell({ lane, delivery, endpoint, outcome, attempt }: Result): void {
    const { log, metrics } = this.#context;
    lane.underWay.delete(delivery.id);
    if (attempt.nextAttemptAt !== null) lane.lookAt(attempt.nextAttemptAt);
    metrics?.webhookSent(outcomes[attempt.status]);
    if (attempt.status === 'succeeded') return;
    log.warn({ delivery: delivery.id, endpoint: endpoint.id, ...outcome }, 'webhook not taken');
  }
}

async function recordAll(trx: Trx, results: Result[]): Promise<void> {
  const taken = new Set<string>();
  for (const { delivery, endpoint, outcome, attempt, at } of results) {
    await recordAttempt(trx, at, delivery, attempt);
    if (attempt.status === 'succeeded') {
      if (!taken.has(endpoint.id)) await noteSuccess(trx, endpoint.id);
      taken.add(endpoint.id);
      continue;
    }
    taken.delete(endpoint.id);
    if (isGone(outcome)) await disableEndpoint(trx, at, endpoint);
    else await noteFailure(trx, at, endpoint);
  }
}
