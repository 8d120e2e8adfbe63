import { expect } from 'chai';
import fc from 'fast-check';
import type { JsonObject } from '../../db/json/json.ts';
import { contains } from '../../db/metadata.ts';
import { SandboxInserter } from '../../db/sandboxes/insert.ts';
import { findMatching } from '../../db/sandboxes/kill.ts';
import { inTransaction } from '../../db/store.ts';
import { withWriteLock } from '../helpers/processes/busy.ts';
import { sandpit } from '../helpers/processes/process.ts';
import { apiKey, type Caller, clientOf, itHere, shareApp, startApp, startTime } from '../helpers/server.ts';

const minute = 60_000;

describe('POST /v1/sandboxes/kill', () => {
  const app = shareApp();
  let users = 0;
  let alice: Caller;
  beforeEach(async () => {
    alice = await app().addUser(`killer-${users++}`);
  });

  const kill = (body?: object, caller = alice) => app().http.post('/v1/sandboxes/kill').set(apiKey(caller)).send(body);
  const statusOf = async (id: string) => (await clientOf(app(), alice).read(id)).body.status;
  const insert = (sandbox: Parameters<ReturnType<typeof app>['insert']>[1]) => app().insert(alice, sandbox);

  it('kills the sandboxes that match all conditions, logs it, and leaves the others', async () => {
    const old = { startedAt: startTime - 10 * minute, endAt: startTime + minute };
    const run = { run: '42', tags: [{ a: 1, b: 2 }] };
    const first = await insert({ ...old, metadata: run });
    const second = await insert({ ...old, startedAt: startTime - 5 * minute, metadata: { ...run, more: true } });
    const young = await insert({ metadata: run });
    const paused = await insert({ ...old, metadata: run, status: 'paused' });
    const other = await insert({ ...old, metadata: { ...run, run: '43' } });
    const mixed = await insert({ ...old, metadata: { run: '42', tags: [{ a: 1 }, { b: 2 }] } });
    await insert({ ...old, metadata: run, status: 'killed' });
    await insert({ ...old, metadata: run, endAt: startTime - 1 });
    const bob = await app().addUser(`killer-${users++}`);
    const foreign = await app().insert(bob, { ...old, metadata: run });
    const body = { metadata: run, status: 'active', older_than_seconds: 300 };
    const dry = await kill({ ...body, dry_run: true });
    expect(dry.body).to.deep.equal({ ids: [first, second], count: 2, has_more: false, dry_run: true });
    expect(await statusOf(first)).to.equal('active');
    expect((await kill(body).expect(200)).body).to.deep.equal({ ...dry.body, dry_run: false });
    for (const id of [first, second]) expect(await statusOf(id)).to.equal('killed');
    for (const id of [young, other, mixed]) expect(await statusOf(id)).to.equal('active');
    expect(await statusOf(paused)).to.equal('suspended');
    expect((await clientOf(app(), bob).read(foreign)).body.status).to.equal('active');
    const { events } = (await app().http.get('/v1/audit/events').set(apiKey(alice)).query({ limit: 2 })).body;
    expect(events.map(({ kind, subject }: { kind: string; subject: string }) => [kind, subject])).to.deep.equal([
      ['vm.killed', second],
      ['vm.killed', first],
    ]);
    expect(new Set(events.map((event: { request_id: string }) => event.request_id)).size).to.equal(1);
    expect((await kill(body)).body).to.deep.include({ ids: [], count: 0 });
  });

  it('kills the oldest up to the limit, and reports that more remain', async () => {
    const ids = [];
    for (let n = 3; n > 0; n--) ids.push(await insert({ startedAt: startTime - n * minute, metadata: { n } }));
    const { body } = await kill({ all: true, limit: 2 });
    expect(body).to.deep.equal({ ids: ids.slice(0, 2), count: 2, has_more: true, dry_run: false });
    expect((await kill({ all: true, limit: 2 })).body).to.deep.include({ ids: ids.slice(2), has_more: false });
  });

  it('records that a sandbox was paused at its end before it was killed', async () => {
    const id = await insert({ onTimeout: 'pause', endAt: startTime - 1 });
    await kill({ status: 'paused' });
    const { events } = (await app().http.get('/v1/audit/events').set(apiKey(alice)).query({ sandbox_id: id })).body;
    expect(events.map(({ kind }: { kind: string }) => kind)).to.deep.equal(['vm.killed', 'vm.auto_suspended']);
  });

  it('refuses an empty, misspelt or oversized request, and kills nothing', async () => {
    const id = await insert({ metadata: { a: 1 } });
    const problemOf = async (body: object) => (await kill(body).expect(422)).body.detail[0];
    for (const body of [{}, { metadata: {} }, { metadata: null, status: null }, { limit: 5 }, { all: false }]) {
      expect((await problemOf(body)).msg, JSON.stringify(body)).to.match(/"all": true/);
    }
    expect(await problemOf({ all: true, metdata: { a: 2 } })).to.deep.include({
      type: 'extra_forbidden',
      loc: ['body', 'metdata'],
      msg: 'Extra inputs are not permitted',
    });
    expect((await problemOf({ status: 'killed' })).type).to.equal('literal_error');
    expect((await problemOf({ metadata: '{}' })).type).to.equal('dict_type');
    expect((await problemOf({ older_than_seconds: 0 })).type).to.equal('greater_than_equal');
    expect((await problemOf({ all: true, limit: 10_001 })).type).to.equal('less_than_equal');
    expect((await problemOf({ all: 'yes' })).type).to.equal('bool_type');
    expect((await problemOf({ metadata: { a: 'x'.repeat(8192) } })).loc).to.deep.equal(['body', 'metadata']);
    expect((await kill().expect(422)).body.detail[0].type).to.equal('missing');
    const text = (type: string, body: string) =>
      app().http.post('/v1/sandboxes/kill').set(apiKey(alice)).type(type).send(body);
    expect((await text('json', '{"all": true,')).body.detail[0].type).to.equal('json_invalid');
    await text('text/plain', '{}').expect(415);
    await text('json', JSON.stringify({ metadata: { a: 'x'.repeat(2 ** 20) } })).expect(413);
    await app().http.post('/v1/sandboxes/kill').send({ all: true }).expect(401);
    expect(await statusOf(id)).to.equal('active');
  });

  it('accepts a filter of the maximum size, and compares numbers exactly', async () => {
    const many = Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`k${n}`, n % 10]));
    const match = await insert({ metadata: many });
    const near = await insert({ metadata: { ...many, k899: 0 } });
    expect((await kill({ metadata: many })).body.ids).to.deep.equal([match]);
    expect(await statusOf(near)).to.equal('active');
    const { createText } = clientOf(app(), alice);
    const id = (await createText('{"metadata":{"n":12345678901234567891}}')).body.vm_id;
    await createText('{"metadata":{"n":12345678901234567892}}');
    const body = '{"metadata":{"n":12345678901234567891}}';
    const { ids } = (await app().http.post('/v1/sandboxes/kill').set(apiKey(alice)).type('json').send(body)).body;
    expect(ids).to.deep.equal([id]);
  });

  it('waits for another process, and returns 503 with Retry-After after too long', async () => {
    await insert({});
    await withWriteLock(app(), async () => {
      const { status, headers } = await kill({ all: true });
      expect(status).to.equal(503);
      expect(headers['retry-after']).to.equal('1');
      await kill({ all: true, dry_run: true }).expect(200);
    });
  });

  itHere('kills in several transactions, oldest first, and serves other requests in between', async () => {
    const { db, sqlite } = app().server.context.store;
    const ids = Array.from({ length: 600 }, (_, n) => `many-${String(n).padStart(3, '0')}`);
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      const common = {
        ownerId: alice.id,
        templateId: null,
        metadata: { a: 1 },
        env: null,
        memoryMb: 512,
        vcpuCount: 2,
      };
      for (const [n, id] of ids.entries()) {
        await inserter.add({ ...common, id, startedAt: startTime - 1000 + n, endAt: null, status: 'active' });
      }
      await inserter.flush();
    });
    const commits: unknown[] = [];
    const stop = app().server.context.store.onCommit(() => {
      commits.push(
        sqlite.prepare("select count(*) from sandboxes where status = 'killed' and id like 'many-%'").pluck().get(),
      );
    });
    const { body } = await kill({ metadata: { a: 1 }, limit: 550 });
    stop();
    expect(body).to.deep.equal({ ids: ids.slice(0, 550), count: 550, has_more: true, dry_run: false });
    expect(commits).to.include.members([256, 512, 550]);
  });

  it('matches metadata as the list does', async () => {
    const scalar = fc.constantFrom<unknown>(1, 'a', null, true);
    const document = fc.dictionary(
      fc.constantFrom('x', 'y'),
      fc.oneof(
        scalar,
        fc.array(scalar, { maxLength: 2 }),
        fc.record({ z: scalar }),
        fc.array(fc.record({ z: scalar })),
      ),
      { maxKeys: 2 },
    ) as fc.Arbitrary<JsonObject>;
    const { db } = app().server.context.store;
    await fc.assert(
      fc.asyncProperty(fc.array(document, { maxLength: 6 }), document, async (documents, metadata) => {
        const owner = await app().addUser(`killer-${users++}`);
        const expected: string[] = [];
        for (const [n, each] of documents.entries()) {
          const id = await app().insert(owner, { metadata: each, startedAt: startTime - 1000 + n });
          if (contains(each, metadata)) expected.push(id);
        }
        const criteria = { metadata, statuses: ['active' as const], olderThanSeconds: null, limit: null };
        const { sandboxes } = await findMatching(db, startTime, owner.id, criteria);
        expect(sandboxes.map(({ id }) => id)).to.deep.equal(expected);
      }),
      { numRuns: 50 },
    );
  });
});

describe('sandpit kill', () => {
  it('kills what matches, of all users or of one, and reports it', async () => {
    const app = await startApp();
    const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
    const hour = 3_600_000;
    const now = Date.now();
    const run = { metadata: { run: '42' }, startedAt: now - 3 * hour, endAt: now + hour };
    const first = await app.insert(alice, run);
    const second = await app.insert(bob, { ...run, startedAt: now - 2 * hour - 1 });
    const young = await app.insert(alice, { ...run, startedAt: now - hour });
    await app.close();
    const { db } = app.server.context.config;
    const run42 = ['kill', '--metadata', '{"run":"42"}', '--older-than', '2h', '--db', db];
    const dry = await sandpit([...run42, '--dry-run']);
    expect(dry.stdout).to.match(/^ID +USER +STATUS +STARTED\n/);
    expect(dry.stdout).to.contain(first).and.contain(second).and.not.contain(young);
    expect(dry).to.include({ code: 0, stderr: 'Would end 2 sandboxes.\n' });
    const bobs = await sandpit([...run42, '--user', 'bob', '--json']);
    expect(JSON.parse(bobs.stdout)).to.deep.equal({ ids: [second], count: 1, dry_run: false });
    expect((await sandpit([...run42, '--json', '--limit', '5'])).stdout).to.contain(first);
    const left = await sandpit(['kill', '--status', 'active', '--dry-run', '--json', '--db', db]);
    expect(JSON.parse(left.stdout).ids).to.deep.equal([young]);
  });

  it('reports invalid arguments', async () => {
    const app = await startApp();
    await app.close();
    const { db } = app.server.context.config;
    const refused = async (...args: string[]) => {
      const { code, stderr, stdout } = await sandpit(['kill', ...args, '--db', db]);
      expect(code, args.join(' ')).to.equal(1);
      expect(stdout).to.equal('');
      return stderr;
    };
    expect(await refused()).to.match(/--metadata, --status or --older-than, or use --all/);
    expect(await refused('--metadata', '{}')).to.match(/--all/);
    expect(await refused('--metadata', '[1]')).to.match(/--metadata.*must be a JSON object/);
    expect(await refused('--metadata', '{"a"')).to.match(/--metadata/);
    expect(await refused('--older-than', '2 hours')).to.match(/--older-than.*s, m, h or d/);
    expect(await refused('--status', 'killed')).to.match(/active, paused/);
    expect(await refused('--all', '--limit', '0')).to.match(/--limit.*above 0/);
    expect(await refused('--all', '--user', 'nobody')).to.match(/there is no user named nobody/);
  });
});
