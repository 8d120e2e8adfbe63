import { expect } from 'chai';
import { eventKinds } from '../../db/events/kinds.ts';
import { allEvents, listEvents } from '../../db/events/list.ts';
import { cli, recordEvent } from '../../db/events/record.ts';
import { inTransaction } from '../../db/store.ts';
import type { components } from '../../spec/types.gen.ts';
import { contract } from '../helpers/contract.ts';
import { apiKey, type Caller, clientOf, shareApp, startTime } from '../helpers/server.ts';

type Event = components['schemas']['Event'];
type AuditEvent = components['schemas']['AuditEvent'];

describe('GET /v1/audit/events', () => {
  const app = shareApp();
  let users = 0;
  let alice: Caller;
  beforeEach(async () => {
    alice = await app().addUser(`alice-${users++}`);
  });

  const list = (query: object = {}, caller = alice) =>
    app().http.get('/v1/audit/events').set(apiKey(caller)).query(query);
  const eventsOf = async (query: object = {}): Promise<Event[]> => (await list(query).expect(200)).body.events;
  const kindsOf = async (query: object = {}) => (await eventsOf(query)).map(({ kind }) => kind);

  it('records who did what, when, with which key and in which request', async () => {
    const { vm_id: id, end_at: endAt } = (await clientOf(app(), alice).create({ snapshot_id: 'base' })).body;
    app().clock.now += 1000;
    const { headers } = await clientOf(app(), alice).update(id, { metadata: { a: 1 }, vm_lifetime_seconds: 60 });
    const [updated, created, key, user] = await eventsOf();
    expect(created).to.deep.include({ kind: 'vm.created', status: 'success', subject: id, sandbox_id: id });
    expect(created?.at).to.equal(new Date(startTime).toISOString());
    expect(created?.actor).to.include({ via: 'api', key_prefix: alice.key.slice(0, 16) });
    expect(created?.details).to.deep.equal({ to: 'active', template_id: 'base', end_at: endAt });
    expect(updated?.details).to.deep.equal({ changed: ['metadata', 'end_at'], end_at: '2025-01-18T10:31:01.000Z' });
    expect(updated?.request_id).to.be.a('string').and.equal(headers['x-request-id']);
    expect(updated?.request_id).not.to.equal(created?.request_id);
    await app().logged(new RegExp(`"id":"${updated?.request_id}"`));
    expect([key?.kind, user?.kind]).to.deep.equal(['api_key.created', 'user.created']);
    expect(key).to.deep.include({ subject: alice.key.slice(0, 16), sandbox_id: null, request_id: null });
    expect(key?.actor).to.deep.equal({ via: 'cli', key_id: null, key_prefix: null });
  });

  it('contains no metadata, environment, settings or secrets', async () => {
    const { create, update } = clientOf(app(), alice);
    const { vm_id: id } = (await create({ metadata: { m: 'SECRET' }, env: { e: 'SECRET' } })).body;
    await update(id, { metadata: { n: 'SECRET' } });
    await app()
      .http.put(`/sandboxes/${id}/network`)
      .set(apiKey(alice))
      .send({ allowOut: ['SECRET.example'], denyOut: ['0.0.0.0/0'] })
      .expect(204);
    const made = await app().http.post('/v1/api-keys/').set(apiKey(alice)).send({ description: 'd' });
    const { text } = await list();
    expect(JSON.parse(text).events[1].details).to.deep.equal({ changed: ['settings'] });
    expect(text).not.to.contain('SECRET');
    expect(text).not.to.contain(made.body.api_key);
  });

  it('filters by kind, sandbox and time', async () => {
    const { create, end } = clientOf(app(), alice);
    const { vm_id: id } = (await create()).body;
    app().clock.now += 1000;
    const other = (await create()).body.vm_id;
    await app().http.post(`/v1/vms/${id}/snapshot`).set(apiKey(alice)).send({});
    app().clock.now += 1000;
    await end(id);
    expect(await kindsOf({ kind: 'vm.*' })).to.deep.equal(['vm.killed', 'vm.created', 'vm.created']);
    expect(await kindsOf({ kind: 'vm.killed' })).to.deep.equal(['vm.killed']);
    const either = ['vm.killed', 'snapshot.created'];
    expect(await kindsOf({ kind: either })).to.deep.equal(either);
    expect(await kindsOf({ kind: either.toReversed() })).to.deep.equal(either);
    expect(await kindsOf({ kind: ['user.*', 'snapshot.*'] })).to.deep.equal(['snapshot.created', 'user.created']);
    // SQLite refuses an expression of more than 1,000 levels.
    expect(await kindsOf({ kind: Array(1200).fill('vm.*') })).to.have.length(3);
    expect(await kindsOf({ kind: 'user.*' })).to.deep.equal(['user.created']);
    expect(await kindsOf({ sandbox_id: id })).to.deep.equal(['vm.killed', 'snapshot.created', 'vm.created']);
    expect(await kindsOf({ sandbox_id: other, kind: 'vm.killed' })).to.deep.equal([]);
    const at = (seconds: number) => new Date(startTime + seconds * 1000).toISOString();
    expect(await kindsOf({ since: at(1), until: at(2) })).to.deep.equal(['snapshot.created', 'vm.created']);
    expect(await kindsOf({ since: '2025-01-18T10:30:02' })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ since: '2025-01-18T11:30:02+01:00' })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ since: '2025-01-19' })).to.deep.equal([]);
    expect(await kindsOf({ status: 'success', kind: 'vm.killed' })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ status: 'failure' })).to.deep.equal([]);
  });

  it("shows each event under the names that InstaVM's clients read as well", async () => {
    const { vm_id: id, session_id: session } = (await clientOf(app(), alice).create()).body;
    const { body } = await list({ vm_id: id });
    const [event] = body.events;
    const item = {
      id: event.event_id,
      created_at: event.at,
      status: 'success',
      event_type: 'vm.created',
      event_group: 'vm',
      vm_id: id,
      session_id: session,
      actor_type: 'api',
      actor_id: alice.key.slice(0, 16),
      resource_type: 'vm',
      resource_id: id,
      event_payload: event.details,
      error_message: null,
    };
    expect(body.items).to.deep.equal([item]);
    const read = await app().http.get(`/v1/audit/events/${item.id}`).set(apiKey(alice));
    expect(read.body).to.deep.equal({ ...event, ...item });
    const { items } = (await list({ event_group: 'api_key' })).body;
    expect(items[0]).to.include({ vm_id: null, session_id: null, actor_type: 'cli', actor_id: null });
  });

  it("filters by InstaVM's names; an unknown value matches nothing", async () => {
    const { create, end } = clientOf(app(), alice);
    const { vm_id: id, session_id: session } = (await create()).body;
    const other = (await create()).body;
    await end(id);
    expect(await kindsOf({ event_type: 'vm.killed' })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ event_group: 'vm' })).to.deep.equal(['vm.killed', 'vm.created', 'vm.created']);
    expect(await kindsOf({ event_group: 'vm', event_type: 'vm.killed' })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ event_group: 'vm', kind: ['vm.killed', 'user.*'] })).to.deep.equal(['vm.killed']);
    expect(await kindsOf({ vm_id: id })).to.deep.equal(['vm.killed', 'vm.created']);
    expect(await kindsOf({ session_id: session })).to.deep.equal(['vm.killed', 'vm.created']);
    expect(await kindsOf({ session_id: session, vm_id: id, event_type: 'vm.created' })).to.deep.equal(['vm.created']);
    expect(await kindsOf({ user_id: alice.id, event_group: 'user' })).to.deep.equal(['user.created']);
    for (const query of [
      { event_type: 'vm' },
      { event_type: 'vm.*' },
      { event_type: '' },
      { event_group: 'v' },
      { event_group: '' },
      { vm_id: 'nobody' },
      { session_id: 'nobody' },
      { session_id: other.session_id, vm_id: id },
      { user_id: alice.id + 1 },
      { event_group: 'user', event_type: 'vm.killed' },
      { status: 'failure' },
    ])
      expect((await list(query).expect(200)).body, JSON.stringify(query)).to.deep.equal({
        events: [],
        items: [],
        next_cursor: null,
      });
    expect((await list({ user_id: 'alice' }).expect(422)).body.detail[0].type).to.equal('int_parsing');
  });

  it("a session's events are those of every sandbox that was started in it", async () => {
    const { create, end } = clientOf(app(), alice);
    const { vm_id: first, session_id: session } = (await create()).body;
    await end(first);
    const again = (await create({ session_id: session })).body;
    expect(again.session_id).to.equal(session);
    const { vm_id: second } = again;
    const found: AuditEvent[] = (await list({ session_id: session })).body.items;
    expect(found.map(({ vm_id: id, event_type: kind }) => [id, kind])).to.deep.equal([
      [second, 'vm.created'],
      [first, 'vm.killed'],
      [first, 'vm.created'],
    ]);
    for (const event of found) expect(event.session_id).to.equal(session);
    const of = async (id: string) => (await list({ session_id: session, vm_id: id })).body.items;
    expect(await of(first)).to.deep.equal(found.slice(1));
    expect(await of(second)).to.deep.equal(found.slice(0, 1));
    expect(await eventsOf({ session_id: session.toUpperCase(), event_type: 'vm.killed' })).to.have.length(1);
  });

  it('pages in both orders with a cursor, each event once, while events arrive', async () => {
    for (let n = 0; n < 7; n++) await clientOf(app(), alice).create();
    const whole = await eventsOf();
    for (const order of ['desc', 'asc']) {
      const ids: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const { body } = await list({ limit: 4, order, ...(cursor && { cursor }) });
        ids.push(...body.events.map((event: Event) => event.event_id));
        cursor = body.next_cursor;
        if (order === 'desc') await clientOf(app(), alice).create();
      }
      const expected = order === 'desc' ? whole : await eventsOf({ order: 'asc' });
      expect(ids).to.deep.equal(expected.map(({ event_id: id }) => id));
    }
    expect(
      (await list({ limit: 9, order: 'asc', until: new Date(startTime).toISOString() })).body.next_cursor,
    ).to.equal(null);
  });

  it("finds a rare event among many, and never another owner's", async () => {
    const bob = await app().addUser(`bob-${users++}`);
    const { db } = app().server.context.store;
    await inTransaction(db, async (trx) => {
      for (const { id: ownerId } of [alice, bob]) {
        const record = (kind: 'vm.updated' | 'vm.killed', subject: string) =>
          recordEvent(trx, 0, { ...cli, ownerId }, { kind, subject, sandboxId: 's', details: {} });
        await record('vm.killed', 'first');
        for (let n = 0; n < 25_000; n++) await record('vm.updated', 'x');
      }
    });
    for (const order of ['desc', 'asc']) {
      const { body } = await list({ kind: 'vm.killed', order });
      expect(body.events).to.have.length(1);
      expect(body.next_cursor).to.equal(null);
    }
    const everyones = await listEvents(db, { ...allEvents, limit: 1000, kinds: ['vm.killed'] });
    expect(everyones.events.map(({ ownerId }) => ownerId)).to.include.members([alice.id, bob.id]);
  });

  it('refuses an invalid cursor, time, kind and limit', async () => {
    const refused = async (query: object) => (await list(query).expect(422)).body.detail;
    for (const cursor of ['x', 'evt_', 'evt_0', 'evt_-1', `evt_${'9'.repeat(30)}`, "evt_1'--", '']) {
      expect((await refused({ cursor }))[0].type, cursor).to.equal('string_pattern_mismatch');
    }
    expect((await refused({ kind: 'vm.' }))[0].type).to.equal('literal_error');
    const mixed = await refused({ kind: ['vm.killed', 'vm.', 'user.*', ''] });
    expect(mixed.map(({ loc }: { loc: unknown }) => loc)).to.deep.equal([1, 3].map((n) => ['query', 'kind', n]));
    expect((await refused({ limit: 0 }))[0].type).to.equal('greater_than_equal');
    expect((await refused({ limit: 1001 }))[0].type).to.equal('less_than_equal');
    expect((await refused({ order: 'up' }))[0].type).to.equal('literal_error');
    expect((await app().http.get('/v1/audit/events')).status).to.equal(401);
  });

  it("returns an event by its id, but never another owner's", async () => {
    const bob = await app().addUser(`bob-${users++}`);
    const [event] = await eventsOf();
    const get = (id: string | undefined, caller?: Caller) => {
      const request = app().http.get(`/v1/audit/events/${id}`);
      return caller ? request.set(apiKey(caller)) : request;
    };
    expect((await get(event?.event_id, alice).expect(200)).body).to.deep.include(event);
    for (const id of ['evt_0', 'evt_999999', 'x', `evt_${'9'.repeat(40)}`]) await get(id, alice).expect(404);
    expect((await get(event?.event_id, bob)).status).to.equal(404);
    expect((await get(event?.event_id)).status).to.equal(401);
  });

  it("lists every kind with the contract's description", async () => {
    const { body } = await app().http.get('/v1/audit/catalog').set(apiKey(alice)).expect(200);
    const kinds = body.events.map(({ kind }: { kind: string }) => kind);
    expect(kinds).to.deep.equal(Object.keys(eventKinds));
    expect(contract.components.schemas.Event?.properties?.kind?.enum).to.deep.equal(kinds);
    const families = new Set(kinds.map((kind: string) => kind.replace(/\..*/, '.*')));
    expect(contract.components.schemas.EventPattern?.enum).to.have.members(['*', ...families, ...kinds]);
    expect(body.catalog.vm).to.include('vm.created').and.not.include('snapshot.created');
    expect(Object.values(body.catalog).flat()).to.have.members(kinds);
    for (const { description } of body.events) expect(description).to.match(/\.$/);
    expect((await app().http.get('/v1/audit/catalog')).status).to.equal(401);
  });
});
