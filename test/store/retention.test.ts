import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { prune, sweep } from '../../app/jobs/tasks.ts';
import { checkIndex } from '../../db/sqlite/index/reindex.ts';
import { apiKey, clientOf, itHere, startApp, startTime } from '../helpers/server.ts';

const hour = 3_600_000;
const killed = { status: 'killed' as const };

describe('retention', () => {
  it('deletes exactly the sandboxes that ended before the limit, of every owner, and keeps the index correct', async () => {
    const app = await startApp({ retention: hour, sweepSeconds: 3600 });
    const { context } = app.server;
    const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
    const metadata = { env: 'prod', tags: ['x', { y: 1 }] };
    const old = { startedAt: startTime - 5 * hour, metadata };
    await app.insert(alice, { ...old, ...killed, id: 'long-ago', endAt: startTime - hour - 1 });
    await app.insert(alice, { ...old, ...killed, id: 'just-now', endAt: startTime - hour });
    await app.insert(bob, { ...old, ...killed, id: 'unknown', endAt: null });
    await app.insert(alice, { ...old, ...killed, id: 'young', startedAt: startTime, endAt: null });
    await app.insert(alice, { ...old, id: 'expired', endAt: startTime - 2 * hour });
    await app.insert(alice, { ...old, id: 'paused', status: 'paused', endAt: startTime - 4 * hour });
    await app.insert(alice, { ...old, id: 'paused-at-end', onTimeout: 'pause', endAt: startTime - 4 * hour });
    await app.insert(alice, { ...old, id: 'running', endAt: null });
    const ids = () => context.store.sqlite.prepare('select id from sandboxes order by id').pluck().all();
    await sweep(context);
    await prune(context);
    expect(ids()).to.deep.equal(['just-now', 'paused', 'paused-at-end', 'running', 'young']);
    expect((await checkIndex(context.store.db)).errors).to.deep.equal([]);
    expect(await clientOf(app, alice).matching({ tags: [{ y: 1 }] })).to.equal(5);
    expect(await clientOf(app, bob).matching({ env: 'prod' })).to.equal(0);
    expect((await clientOf(app, alice).read('long-ago')).status).to.equal(404);
    app.clock.now += 1;
    await prune(context);
    expect(ids()).not.to.include('just-now');
    await app.insert(bob, { metadata });
    expect((await checkIndex(context.store.db)).errors).to.deep.equal([]);
  });

  itHere('a stopping sweeper finishes its present batch only', async () => {
    const app = await startApp({ sweepSeconds: 3600 });
    const alice = await app.addUser('alice');
    for (let n = 0; n < 600; n++) await app.insert(alice, { endAt: startTime - 1 });
    const { context } = app.server;
    const active = () =>
      context.store.sqlite.prepare("select count(*) from sandboxes where status = 'active'").pluck().get();
    await sweep(context, AbortSignal.abort());
    expect(active()).to.equal(100);
    await sweep(context);
    expect(active()).to.equal(0);
  });

  it('keeps everything by default', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    await app.insert(alice, { ...killed, startedAt: 0, endAt: 0 });
    await prune(app.server.context);
    expect(await clientOf(app, alice).matching({})).to.equal(1);
  });

  it('deletes in steps, serves requests in between, and shrinks the file', async () => {
    const app = await startApp({ retention: hour, sweepSeconds: 3600 });
    const { context } = app.server;
    const alice = await app.addUser('alice');
    for (let n = 0; n < 1000; n++) {
      await app.insert(alice, { ...killed, endAt: startTime - 2 * hour, metadata: { n, text: 'x'.repeat(2000) } });
    }
    await app.insert(alice, { id: 'last', metadata: { text: 'x' } });
    const size = () => {
      context.store.sqlite.pragma('wal_checkpoint(truncate)');
      return statSync(context.config.db).size;
    };
    const before = size();
    let isOver = false;
    const pruning = prune(context).then(() => {
      isOver = true;
    });
    const counts: number[] = [];
    while (!isOver) {
      const query = { limit: 1000 };
      counts.push((await app.http.get('/v1/sessions/sandboxes').set(apiKey(alice)).query(query)).body.length);
    }
    await pruning;
    expect(counts.some((count) => count > 1 && count < 1000)).to.equal(true);
    expect(size()).to.be.below(before / 4);
    expect(await checkIndex(context.store.db)).to.deep.equal({ sandboxes: 1, errors: [] });
    expect(app.log()).to.contain('"deleted":1000');
  });

  it('does not delay expiry', async () => {
    const app = await startApp({ retention: hour, sweepSeconds: 0.01 });
    const { sqlite } = app.server.context.store;
    const alice = await app.addUser('alice');
    await app.insert(alice, { id: 'due', endAt: startTime + 2 * hour });
    for (let n = 0; n < 1000; n++) await app.insert(alice, { ...killed, endAt: startTime, metadata: { n } });
    app.clock.now = startTime + 2 * hour;
    const expired = sqlite.prepare("select count(*) from events where kind = 'vm.expired'").pluck();
    const left = sqlite.prepare('select count(*) from sandboxes where end_at = ?').pluck();
    while (left.get(startTime) === 1000) await nextTurn();
    await app.insert(alice, { id: 'next', endAt: app.clock.now });
    while ((expired.get() as number) < 2) await nextTurn();
    expect(left.get(startTime)).to.be.greaterThan(0);
  });

  it('finds the due sandboxes through an index', async () => {
    const app = await startApp();
    const plan = app.server.context.store.sqlite
      .prepare<[], { detail: string }>(
        `explain query plan select position from sandboxes
         where status = 'killed' and coalesce(end_at, started_at) < +1 order by coalesce(end_at, started_at)`,
      )
      .all();
    expect(plan.map(({ detail }) => detail)).to.deep.equal(['SEARCH sandboxes USING INDEX sandboxes_ended (<expr><?)']);
  });

  it('does not shrink a database of an earlier version', async () => {
    const app = await startApp();
    const { context } = app.server;
    await app.close();
    const sqlite = new Database(context.config.db);
    sqlite.pragma('journal_mode = delete');
    sqlite.pragma('auto_vacuum = none');
    sqlite.exec('vacuum').close();
    const again = await startApp({ db: context.config.db });
    await prune(again.server.context);
    expect(again.log()).not.to.contain('failed');
  });
});
