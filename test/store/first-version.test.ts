import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { Kysely } from 'kysely';
import { createApiKey } from '../../db/accounts/api-keys.ts';
import { cli } from '../../db/events/record.ts';
import { allPairsOf, maxIndexedPairs } from '../../db/metadata.ts';
import type { Tables } from '../../db/schema.ts';
import { ImmediateDialect } from '../../db/sqlite/driver/dialect.ts';
import { installMembers, PairCollector } from '../../db/sqlite/index/pairs.ts';
import { positionOf } from '../../db/sqlite/index/positions.ts';
import { checkIndex } from '../../db/sqlite/index/reindex.ts';
import { migrate, migrations } from '../../db/sqlite/migrations/migrate.ts';
import { inTransaction } from '../../db/store.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { apiKey, startApp, startTime, temporaryDirectory } from '../helpers/server.ts';

/**
 * Creates a database of the first version with a user `alice`, whose id is 1, and these
 * sandboxes.
 */
async function firstVersion(
  file: string,
  sandboxes: { id: string; metadata: object; status: string; endAt: number | null }[],
) {
  const sqlite = new Database(file);
  installMembers(sqlite);
  migrate(sqlite, migrations.slice(0, 1));
  sqlite.exec("insert into users (name, created_at) values ('alice', 0)");
  const pairs = new PairCollector();
  for (const [n, { id, metadata, status, endAt }] of sandboxes.entries()) {
    const values = [
      positionOf(1, n),
      id,
      n % 2 ? 'base' : null,
      JSON.stringify(metadata),
      startTime - 1000 + n,
      endAt,
      status,
    ];
    sqlite
      .prepare(
        `insert into sandboxes (owner_id, env, memory_mb, vcpu_count, position, id, template_id, metadata, started_at, end_at, status)
        values (1, '{"A":"b"}', 512, 2, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(...values);
    pairs.add(1, n, allPairsOf(metadata as Record<string, string>));
  }
  const db = new Kysely<Tables>({ dialect: new ImmediateDialect(sqlite) });
  await inTransaction(db, (trx) => pairs.save(trx));
  await db.destroy();
}

describe('a database of the first version', () => {
  it('is migrated on opening, and both dialects list and change its sandboxes', async () => {
    const file = join(temporaryDirectory(), 'old.db');
    const later = startTime + 60_000;
    const many = Array.from({ length: 2 * maxIndexedPairs }, (_, n) => n);
    await firstVersion(file, [
      { id: 'running', metadata: { a: '1' }, status: 'active', endAt: later },
      { id: 'paused', metadata: { a: '1', deep: [1] }, status: 'paused', endAt: null },
      { id: 'killed', metadata: { a: '1' }, status: 'killed', endAt: startTime },
      { id: 'expired', metadata: { a: '2' }, status: 'active', endAt: startTime },
      { id: 'large', metadata: { b: '1', list: many }, status: 'killed', endAt: startTime - 2000 },
    ]);
    const app = await startApp({ db: file });
    const { db, sqlite } = app.server.context.store;
    expect(sqlite.prepare('select max(id) from migrations').pluck().get()).to.equal(migrations.at(-1)?.id);
    const key = await inTransaction(db, (trx) => createApiKey(trx, 0, { ...cli, ownerId: 1 }, 'test'));
    const alice = { name: 'alice', id: 1, key };
    const e2b = e2bOf(app, alice);

    const native = async (filter = '{}') => {
      const { body } = await app.http.get('/v1/sessions/sandboxes').set(apiKey(alice)).query({ metadata: filter });
      return body.map((s: { sandbox_id: string; status: string }) => `${s.sandbox_id} ${s.status}`);
    };
    expect(await native()).to.deep.equal([
      'large killed',
      'expired killed',
      'killed killed',
      'paused paused',
      'running active',
    ]);
    expect(await native('{"b":"1","list":[7,8]}')).to.deep.equal(['large killed']);
    expect((await checkIndex(db)).errors).to.deep.equal([]);
    expect(await native('{"a":"1"}')).to.deep.equal(['killed killed', 'paused paused', 'running active']);
    expect(await e2b.listed()).to.deep.equal(['paused', 'running']);
    expect(await e2b.listed('metadata=a%3D1&state=running&template=default')).to.deep.equal(['running']);
    expect(await e2b.read('running')).to.deep.include({
      endAt: new Date(later).toISOString(),
      metadata: { a: '1' },
      allowInternetAccess: null,
      lifecycle: { autoResume: false, onTimeout: 'kill' },
    });
    expect(await e2b.read('paused')).to.deep.include({ templateID: 'base', metadata: { a: '1', deep: '[1]' } });

    expect(await e2b.does('paused', 'resume', { timeout: 60 })).to.equal(201);
    expect(await e2b.listed()).to.deep.equal(['paused', 'running']);
    expect(await e2b.does('running', 'fork')).to.equal(201);
    expect((await e2b.put('/sandboxes/running/network', { allowOut: [] })).status).to.equal(204);
    expect((await e2b.read('running')).network).to.deep.equal({ allowOut: [] });
    app.clock.now = later;
    expect(await e2b.listed()).to.deep.equal([]);
    expect(await native('{"a":"1"}')).to.have.length(4);
    expect((await checkIndex(db)).errors).to.deep.equal([]);
  });
});
