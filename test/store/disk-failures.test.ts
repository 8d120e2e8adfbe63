import Database from 'better-sqlite3';
import { expect } from 'chai';
import { sweep } from '../../app/jobs/tasks.ts';
import { checkIndex } from '../../db/sqlite/index/reindex.ts';
import { apiKey, type Caller, clientOf, shareApp } from '../helpers/server.ts';

/**
 * Uses SQLite's own limits instead of a real disk; test/torture/torture.test.ts fills and locks
 * real ones.
 */
describe('a failing disk', () => {
  const app = shareApp();
  let alice: Caller;
  let store: Database.Database;
  const large = { metadata: { text: 'x'.repeat(60_000) }, vm_lifetime_seconds: 60 };
  before(async () => {
    alice = await app().addUser('alice');
    store = app().server.context.store.sqlite;
  });
  const errorLines = () =>
    app()
      .log()
      .split('\n')
      .filter((line) => line.includes('"level":50'))
      .map((line) => JSON.parse(line));

  /** Runs `work` with a pragma that makes writes fail. Asserts that everything works afterwards. */
  async function during(pragma: string, undo: string, work: () => Promise<void>): Promise<void> {
    const { create, read, matching } = clientOf(app(), alice);
    const { body } = await create({ metadata: { kept: true } });
    const before = await matching({ kept: true });
    store.pragma(pragma);
    try {
      await work();
      expect((await read(body.vm_id)).body).to.deep.equal(body);
      expect(await matching({ kept: true })).to.equal(before);
      expect(store.inTransaction).to.equal(false);
    } finally {
      store.pragma(undo);
    }
    expect((await create(large)).status).to.equal(201);
    expect((await checkIndex(app().server.context.store.db)).errors).to.deep.equal([]);
  }

  const whenFull = (work: () => Promise<void>) =>
    during('max_page_count = 1', `max_page_count = ${2 ** 31}`, async () => {
      while ((await clientOf(app(), alice).create(large)).status === 201);
      await work();
    });
  const whenReadOnly = (work: () => Promise<void>) => during('query_only = on', 'query_only = off', work);

  it('507: a write to a full disk, logged once with its cause', async () => {
    await whenFull(async () => {
      const logged = errorLines().length;
      const answer = await clientOf(app(), alice).create(large);
      expect(answer.status).to.equal(507);
      expect(answer.body).to.deep.equal({ detail: 'The disk is full: nothing can be written until there is room' });
      const [line, ...more] = errorLines().slice(logged);
      expect(more).to.deep.equal([]);
      expect(line.err).to.nested.include({ code: 'full', 'cause.code': 'SQLITE_FULL' });
    });
  });

  it('507: in E2B’s shape', async () => {
    await whenFull(async () => {
      const body = { templateID: 'base', metadata: { text: 'x'.repeat(60_000) } };
      const answer = await app().http.post('/sandboxes').set(apiKey(alice)).send(body);
      expect(answer.status).to.equal(507);
      expect(answer.body).to.deep.equal({
        code: 507,
        message: 'The disk is full: nothing can be written until there is room',
      });
    });
  });

  it('503: a write to a read-only database, in both dialects', async () => {
    await whenReadOnly(async () => {
      const message = 'The database is read-only, or its disk fails';
      const answer = await clientOf(app(), alice).create();
      expect([answer.status, answer.body]).to.deep.equal([503, { detail: message }]);
      expect(answer.headers['retry-after']).to.equal('1');
      const e2b = await app().http.post('/sandboxes').set(apiKey(alice)).send({ templateID: 'base' });
      expect([e2b.status, e2b.body]).to.deep.equal([503, { code: 503, message }]);
      expect(errorLines().at(-1).err.cause.code).to.equal('SQLITE_READONLY');
    });
  });

  it('the sweeper logs the failure, continues and catches up', async () => {
    const { context } = app().server;
    const id = await app().insert(alice, { endAt: app().clock.now - 1 });
    await whenReadOnly(async () => {
      await sweep(context);
      expect(errorLines().at(-1)).to.nested.include({ msg: 'sweep failed', 'err.cause.code': 'SQLITE_READONLY' });
    });
    await sweep(context);
    expect(store.prepare('select status from sandboxes where id = ?').pluck().get(id)).to.equal('killed');
  });

  it('503: every request if credentials cannot be read', async () => {
    const { prepare } = store;
    const token = { Authorization: `Bearer spt_${'0'.repeat(64)}` };
    store.prepare = () => {
      throw new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_READ');
    };
    // This statement is not prepared yet, because no token has been checked so far.
    const answer = await app().http.get('/v1/sessions/sandboxes').set(token);
    store.prepare = prepare;
    expect([answer.status, answer.headers['retry-after']]).to.deep.equal([503, '1']);
    expect(errorLines().at(-1).err.cause.code).to.equal('SQLITE_IOERR_READ');
    const again = await app().http.get('/v1/sessions/sandboxes').set(token);
    expect(again.status).to.equal(401);
  });
});
