import { expect } from 'chai';
import fc from 'fast-check';
import { Outbox } from '../../app/webhooks/outbox.ts';
import { createUser } from '../../db/accounts/users.ts';
import { type EventKind, matchesKind } from '../../db/events/kinds.ts';
import { cli, recordEvent } from '../../db/events/record.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction, type Trx } from '../../db/store.ts';
import { createEndpoint, updateEndpoint } from '../../db/webhooks/endpoints.ts';
import { disableEndpoint } from '../../db/webhooks/health.ts';
import { local, useHooks } from '../helpers/clients/webhook-client.ts';
import { itHere, startApp, startTime } from '../helpers/server.ts';

type Wants = { eventPatterns: string[]; isEnabled: boolean };

const kind = fc.constantFrom<EventKind>('vm.created', 'vm.killed', 'snapshot.created');
const eventPatterns = fc.constantFrom(
  ['*'],
  ['vm.*'],
  ['snapshot.*'],
  ['vm.created'],
  ['vm.killed', 'webhook.updated'],
);
const step = fc.oneof(
  // Sometimes more events than one step reads.
  { weight: 5, arbitrary: fc.record({ does: fc.constant('happen'), kind, times: fc.constantFrom(1, 2, 3, 250) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('change'), change: fc.record({ eventPatterns }) }) },
  fc.record({ does: fc.constant('change'), change: fc.record({ isEnabled: fc.boolean() }) }),
  { weight: 4, arbitrary: fc.record({ does: fc.constantFrom('gone', 'look', 'step', 'restart') }) },
) as fc.Arbitrary<{
  does: Exclude<keyof Model, 'store' | 'expected' | 'begin'>;
  kind: EventKind;
  times: number;
  change: Partial<Wants>;
}>;

/**
 * An endpoint and the events that must be sent to it: those that matched its patterns at the
 * time.
 */
class Model {
  readonly store = openStore(':memory:');
  readonly expected: string[] = [];
  readonly #wants: Wants = { eventPatterns: ['vm.*'], isEnabled: true };
  readonly #given = {
    url: 'http://x',
    description: null,
    includesMetadata: false,
    secret: '',
    timeoutSeconds: 15,
    maxRetries: 9,
    format: 'standard' as const,
  };
  #outbox = new Outbox(this.store.db, () => startTime);
  #by = { ...cli, ownerId: 0 };
  #id = '';

  async begin(): Promise<void> {
    await this.#inTransaction(async (trx) => {
      this.#by.ownerId = (await createUser(trx, startTime, cli, 'alice', null)).id;
      this.#id = (await createEndpoint(trx, startTime, this.#by, { ...this.#given, ...this.#wants })).id;
    });
  }

  async happen({ kind, times }: { kind: EventKind; times: number }): Promise<void> {
    const event = { kind, subject: 'x', sandboxId: null, details: {} };
    await this.#inTransaction(async (trx) => {
      for (let n = 0; n < times; n++) await recordEvent(trx, startTime, this.#by, event);
    });
    for (let n = 0; n < times; n++) this.#expect(kind);
  }

  async change({ change }: { change: Partial<Wants> }): Promise<void> {
    await this.#inTransaction((trx) => updateEndpoint(trx, startTime, this.#by, this.#id, change));
    this.#expect('webhook.updated');
    Object.assign(this.#wants, change);
  }

  async gone(): Promise<void> {
    await this.#inTransaction((trx) => disableEndpoint(trx, startTime, { ...this.#given, id: this.#id }));
    this.#wants.isEnabled = false;
  }

  async look(): Promise<void> {
    while (await this.#outbox.hasEvents()) await this.step();
  }

  async step(): Promise<void> {
    await this.#inTransaction((trx) => this.#outbox.createDeliveries(trx));
  }

  restart(): void {
    this.#outbox = new Outbox(this.store.db, () => startTime);
  }

  #expect(kind: EventKind): void {
    const { isEnabled, eventPatterns } = this.#wants;
    if (isEnabled && eventPatterns.some((pattern) => matchesKind(pattern, kind))) this.expected.push(kind);
  }

  #inTransaction<T>(change: (trx: Trx) => Promise<T>): Promise<T> {
    return inTransaction(this.store.db, change);
  }
}

describe('event patterns of webhooks', () => {
  it('apply as they were when an event happened, with and without restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 18 }), async (steps) => {
        const model = new Model();
        await model.begin();
        for (const { does, ...given } of steps) await model[does](given);
        await model.look();
        const sent = model.store.sqlite.prepare('select kind from webhook_deliveries order by event_seq').pluck().all();
        await model.store.close();
        expect(sent).to.deep.equal(model.expected);
      }),
      { numRuns: 100 },
    );
  });
});

describe('webhooks after a change of patterns', () => {
  const hooks = useHooks();

  itHere('send no earlier events, even after a restart', async () => {
    const { db } = hooks().app.server.context.config;
    const { id } = await hooks().hook({ event_patterns: ['snapshot.*'] });
    for (let n = 0; n < 3; n++) await hooks().start();
    await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { event_patterns: ['vm.*'] });
    const first = await hooks().start();
    await hooks().noted(([delivery]) => delivery?.status === 'succeeded');
    await hooks().app.close();
    hooks().app = await startApp({ ...local, db });
    const second = await hooks().start();
    await hooks().noted((all) => all.length > 1 && all.every(({ status }) => status === 'succeeded'));
    const subjects = hooks().receiver.messages.map(({ payload }) => payload.data.subject);
    expect(subjects).to.deep.equal([first, second]);
  });
});
