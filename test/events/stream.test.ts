import { createServer, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { cli, recordOfSandbox } from '../../db/events/record.ts';
import { inTransaction } from '../../db/store.ts';
import { type Message, openStream, type Stream } from '../helpers/clients/sse.ts';
import { listen } from '../helpers/listen.ts';
import { sandpit, serve } from '../helpers/processes/process.ts';
import {
  apiKey,
  type Caller,
  clientOf,
  itHere,
  startApp,
  type TestApp,
  temporaryDirectory,
} from '../helpers/server.ts';

describe('GET /v1/events', () => {
  let app: TestApp;
  let alice: Caller;
  let server: Server;
  let url: string;
  const responses: ServerResponse[] = [];
  const streams: Stream[] = [];
  beforeEach(async () => {
    app = await startApp();
    alice = await app.addUser('alice');
    server = createServer((req, res) => {
      responses.push(res);
      app.listener(req, res);
    });
    url = `http://127.0.0.1:${await listen(server)}/v1/events`;
  });
  afterEach(() => {
    mock.timers.reset();
    for (const stream of streams.splice(0)) stream.close();
    responses.splice(0);
    server.closeAllConnections();
    server.close();
  });

  const open = async (caller = alice, query = '', headers: Record<string, string> = {}) => {
    const stream = await openStream(`${url}${query}`, { ...apiKey(caller), ...headers });
    streams.push(stream);
    return stream;
  };
  const record = (count: number, owner = alice) =>
    inTransaction(app.server.context.store.db, async (trx) => {
      const details = { changed: ['metadata'] };
      for (let n = 0; n < count; n++) {
        await recordOfSandbox(trx, 0, { ...cli, ownerId: owner.id }, `s${n}`, { kind: 'vm.updated', details });
      }
    });

  itHere("sends the caller's events as in the list, and no other's", async () => {
    const bob = await app.addUser('bob');
    const stream = await open();
    expect(stream.status).to.equal(200);
    expect(stream.headers['content-type']).to.match(/^text\/event-stream/);
    expect(stream.headers['cache-control']).to.equal('no-store');
    await clientOf(app, bob).create();
    const { vm_id: id } = (await clientOf(app, alice).create({ metadata: { secret: 'x' } })).body;
    const created = await stream.next();
    const { event_id: eventId, ...event } = JSON.parse(created.data ?? '');
    expect(created).to.include({ event: 'vm.created', id: eventId.slice('evt_'.length) });
    expect(event).to.include({ kind: 'vm.created', subject: id, sandbox_id: id });
    const listed = await app.http.get(`/v1/audit/events/${eventId}`).set(apiKey(alice));
    expect(listed.body).to.deep.include({ event_id: eventId, ...event });
    await clientOf(app, alice).end(id);
    expect(await stream.next()).to.include({ event: 'vm.killed' });
  });

  itHere('resumes after Last-Event-ID without gaps or repeats, over several batches', async () => {
    await record(250);
    const first = await open(alice, '', { 'Last-Event-ID': '0' });
    const seen = [];
    for (let n = 0; n < 120; n++) seen.push(Number((await first.next()).id));
    first.close();
    const second = await open(alice, `?last_event_id=${first.lastId()}`);
    await record(1);
    for (let n = 120; n < 253; n++) seen.push(Number((await second.next()).id));
    expect(seen).to.deep.equal(Array.from({ length: 253 }, (_, n) => n + 1));
  });

  itHere('sends an id to resume from before the first event, and if nothing matches', async () => {
    const stream = await open();
    expect(await stream.nextAny()).to.deep.equal({ id: '2' });
    const filtered = await open(alice, '?kind=snapshot.*', { 'Last-Event-ID': '0' });
    await record(3);
    await clientOf(app, alice).create();
    const { body } = await app.http.get('/v1/audit/events').set(apiKey(alice)).query({ limit: 1 });
    const id = body.events[0].sandbox_id;
    await app.http.post(`/v1/vms/${id}/snapshot`).set(apiKey(alice)).send({});
    expect(await filtered.next()).to.include({ event: 'snapshot.created', id: '7' });
    const both = await open(alice, '?kind=snapshot.*&kind=vm.created&last_event_id=0');
    expect([(await both.next()).event, (await both.next()).event]).to.deep.equal(['vm.created', 'snapshot.created']);
    const ofSandbox = await open(alice, `?sandbox_id=${id}&last_event_id=0`);
    expect([(await ofSandbox.next()).event, (await ofSandbox.next()).event]).to.deep.equal([
      'vm.created',
      'snapshot.created',
    ]);
  });

  itHere('starts at the present if Last-Event-ID is empty', async () => {
    const headers = { 'Last-Event-ID': '' };
    expect(await (await open(alice, '', headers)).nextAny()).to.deep.equal({ id: '2' });
    expect(await (await open(alice, '?last_event_id=')).nextAny()).to.deep.equal({ id: '2' });
    expect((await (await open(alice, '?last_event_id=1', headers)).next()).id).to.equal('2');
  });

  itHere('reports deleted events and another database', async () => {
    await record(10);
    app.server.context.store.sqlite.exec('delete from events where seq <= 6');
    const pruned = await open(alice, '', { 'Last-Event-ID': '3' });
    const gap = await pruned.next();
    expect(gap.event).to.equal('stream.gap');
    expect(JSON.parse(gap.data ?? '').detail).to.match(/missing/);
    expect((await pruned.next()).id).to.equal('7');
    const whole = await open(alice, '', { 'Last-Event-ID': '6' });
    expect(await whole.next()).to.include({ event: 'vm.updated', id: '7' });
    // An event's own id is accepted, too.
    const own = await open(alice, '', { 'Last-Event-ID': 'evt_6' });
    expect(await own.next()).to.include({ event: 'vm.updated', id: '7' });
    const inQuery = await open(alice, '?last_event_id=evt_7');
    expect(await inQuery.next()).to.include({ event: 'vm.updated', id: '8' });
    const ahead = await open(alice, '', { 'Last-Event-ID': '999' });
    expect(await ahead.next()).to.include({ event: 'stream.gap', id: '12' });
    await record(1);
    expect((await ahead.next()).id).to.equal('13');
  });

  itHere('sends a heartbeat with its position every 15 seconds', async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    const stream = await open(alice, '?kind=snapshot.*');
    await stream.nextAny();
    // Events that do not match send nothing, not even an earlier heartbeat.
    for (let second = 1; second < 15; second++) {
      await record(1);
      mock.timers.tick(1000);
    }
    mock.timers.tick(1000);
    expect(await stream.nextAny()).to.deep.equal({ comment: 'heartbeat', id: '16' });
    mock.timers.tick(15_000);
    expect(await stream.nextAny()).to.deep.equal({ comment: 'heartbeat', id: '16' });
  });

  itHere('is logged as aborted when the client leaves, but not when the server ends it', async () => {
    const [left, ended] = [await open(), await open((await app.addUser('bob')) as Caller)];
    await left.nextAny();
    await ended.nextAny();
    left.close();
    await app.logged(/"route":"\/v1\/events","status":200,.*"owner":"alice",.*"aborted":true/);
    app.server.context.feed.close();
    await app.logged(/"route":"\/v1\/events","status":200,.*"owner":"bob",(?!.*aborted).*"msg"/);
  });

  itHere('ends when the key is revoked, without sending that event', async () => {
    const [revoked, kept] = [await open(), await open((await app.addUser('bob')) as Caller)];
    const [{ id }] = (await app.http.get('/v1/api-keys/').set(apiKey(alice))).body;
    await app.http.delete(`/v1/api-keys/${id}`).set(apiKey(alice)).expect(200);
    expect(await revoked.rest()).to.deep.equal([]);
    expect(kept.status).to.equal(200);
  });

  itHere('ends at the next heartbeat after its access token expires', async () => {
    await app.addUser('carol', 'a long password');
    const { body } = await app.http.post('/v1/auth/token').type('form').send('username=carol&password=a long password');
    mock.timers.enable({ apis: ['setInterval'] });
    const stream = await openStream(url, { Authorization: `Bearer ${body.access_token}` });
    streams.push(stream);
    await stream.nextAny();
    app.clock.now += 3_600_000;
    mock.timers.tick(15_000);
    expect(await stream.rest()).to.deep.equal([]);
  });

  itHere('reads only as fast as the client does', async () => {
    await record(20_000);
    const stream = await open(alice, '', { 'Last-Event-ID': '0' });
    const [response] = responses;
    while (!response?.writableNeedDrain) await nextTurn();
    expect(response.writableLength).to.be.below(200_000);
    let last: Message = {};
    for (let n = 1; n <= 20_002; n++) last = await stream.next();
    expect(last.id).to.equal('20002');
  });

  itHere('refuses streams above the limit until one is closed', async () => {
    const many = await Promise.all(Array.from({ length: 32 }, () => open()));
    const { status, body, headers } = await app.http.get('/v1/events').set(apiKey(alice));
    expect(status).to.equal(429);
    expect(headers['retry-after']).to.equal('1');
    expect(body.detail).to.match(/32 open streams/);
    expect((await open((await app.addUser('bob')) as Caller)).status).to.equal(200);
    many[0]?.close();
    let again = await open();
    while (again.status === 429) again = await open();
    expect(again.status).to.equal(200);
  });

  itHere('closes a client that reads nothing for a minute', async () => {
    await record(20_000);
    mock.timers.enable({ apis: ['setTimeout'] });
    const stream = await open(alice, '', { 'Last-Event-ID': '0' });
    const [response] = responses;
    while (!response?.writableNeedDrain) await nextTurn();
    mock.timers.tick(59_000);
    await nextTurn();
    expect(response.closed).to.equal(false);
    for (; !response.closed; await nextTurn()) mock.timers.tick(1000);
    expect((await stream.rest()).length).to.be.below(20_000);
  });

  itHere('ends when the store fails; before it has begun, the response is an error', async () => {
    const { sqlite, db } = app.server.context.store;
    const stream = await open();
    await stream.nextAny();
    sqlite.exec('alter table events rename to lost');
    const { status, body } = await app.http.get('/v1/events').set(apiKey(alice));
    expect([status, body]).to.deep.equal([500, { detail: 'Internal Server Error' }]);
    // Any commit triggers the failure, because the table that holds the log's end is renamed.
    await inTransaction(db, async () => {});
    expect(await stream.rest()).to.deep.equal([]);
    await app.logged(/a stream of events failed/);
  });

  it('refuses an invalid position, an unknown kind and a missing credential', async () => {
    for (const place of ['x', '-1', '1.5', '9'.repeat(400), 'evt_', 'evt_x', 'EVT_1']) {
      const { status, body } = await app.http.get('/v1/events').set(apiKey(alice)).query({ last_event_id: place });
      expect(status, place).to.equal(422);
      expect(body.detail[0]).to.include({ type: 'string_pattern_mismatch', input: place });
      expect(body.detail[0].loc).to.deep.equal(['query', 'last_event_id']);
    }
    const header = await app.http.get('/v1/events').set(apiKey(alice)).set('Last-Event-ID', 'x');
    expect(header.body.detail[0].loc).to.deep.equal(['header', 'last-event-id']);
    const kind = await app.http.get('/v1/events').set(apiKey(alice)).query({ kind: 'vm.born' });
    expect(kind.body.detail[0].type).to.equal('literal_error');
    expect((await app.http.get('/v1/events')).status).to.equal(401);
  });
});

describe('the event stream across processes', () => {
  const key = `e2b_${'5'.repeat(40)}`;
  const headers = { 'X-API-Key': key };

  it('ends at once when the server stops, and resumes after a restart without gaps or repeats', async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    const args = ['--db', db, '--api-key', key, '--shutdown-seconds', '600'];
    const create = async (url: string) => {
      const json = { ...headers, 'Content-Type': 'application/json' };
      expect((await fetch(`${url}/v1/vms`, { method: 'POST', headers: json, body: '{}' })).status).to.equal(201);
    };
    const seen: Message[] = [];
    let server = await serve(args);
    const first = await openStream(`${server.url}/v1/events?last_event_id=0`, headers);
    for (let n = 0; n < 5; n++) await create(server.url);
    seen.push(await first.next(), await first.next(), await first.next());
    const rest = first.rest();
    await create(server.url);
    // Otherwise the server would wait ten minutes for an open request.
    expect(await server.stop()).to.equal(0);
    seen.push(...(await rest));
    expect((await sandpit(['kill', '--all', '--db', db])).stderr).to.equal('Ended 6 sandboxes.\n');
    server = await serve(args);
    const second = await openStream(`${server.url}/v1/events`, { ...headers, 'Last-Event-ID': first.lastId() ?? '' });
    await create(server.url);
    // Written by another process while the stream is open.
    expect((await sandpit(['kill', '--all', '--db', db])).code).to.equal(0);
    const total = 2 + 6 + 6 + 1 + 1;
    while (seen.length < total) seen.push(await second.next());
    expect(seen.map(({ id }) => Number(id))).to.deep.equal(Array.from({ length: total }, (_, n) => n + 1));
    await server.stop('SIGKILL');
    expect(await second.rest()).to.deep.equal([]);
  });
});
