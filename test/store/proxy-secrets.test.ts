import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { migrate, migrations } from '../../db/sqlite/migrations/migrate.ts';
import { itHere, temporaryDirectory } from '../helpers/server.ts';

describe('a database of a version that stored the secrets of egress proxies', () => {
  itHere('loses them in the upgrade, and nothing else', async () => {
    const sqlite = new Database(join(temporaryDirectory(), 'old.db'));
    const until = (last: number) => migrations.filter(({ id }) => id <= last);
    migrate(sqlite, until(12));
    sqlite.exec("insert into users (name, created_at) values ('alice', 0)");
    const add = sqlite.prepare(
      `insert into sandboxes (position, id, owner_id, metadata, memory_mb, vcpu_count, started_at, status, settings)
      values (?, 's' || ?, 1, '{}', 512, 2, 0, 'active', ?)`,
    );
    const tls = { enabled: true, serverName: 's' };
    const proxy = { address: 'a:1', username: 'u' };
    const stored = [
      { network: { egressProxy: { ...proxy, password: 'hush', tls: { ...tls, caCert: 'pem' } } } },
      { network: { egressProxy: null }, autoResume: true },
      null,
    ];
    for (const [at, settings] of stored.entries()) add.run(at, at, settings && JSON.stringify(settings));
    expect(migrate(sqlite, until(13))).to.have.length(1);
    migrate(sqlite);
    const kept = sqlite.prepare<[], string>('select settings from sandboxes order by position').pluck().all();
    expect(kept.map((text) => JSON.parse(text))).to.deep.equal([
      { network: { egressProxy: { ...proxy, tls } } },
      { network: { egressProxy: null }, autoResume: true },
      null,
    ]);
    sqlite.close();
  });
});
