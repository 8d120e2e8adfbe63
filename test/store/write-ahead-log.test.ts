import { once } from 'node:events';
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { walShrinker } from '../../app/jobs/tasks.ts';
import { exportSandboxes } from '../../db/sandboxes/lists/export.ts';
import { maxIdleWalBytes } from '../../db/sqlite/driver/connection.ts';
import { sandpit, start } from '../helpers/processes/process.ts';
import { clientOf, itHere, startApp, type TestApp } from '../helpers/server.ts';

describe('the write-ahead log', () => {
  const sizeOf = (app: TestApp) => statSync(`${app.server.context.config.db}-wal`).size;
  const large = { text: 'x'.repeat(60_000) };

  /** Opens a connection with a read transaction. Returns a function that ends it. */
  function reader(app: TestApp): () => void {
    const other = new Database(app.server.context.config.db);
    other.exec('begin');
    other.prepare('select count(*) from sandboxes').get();
    return () => other.close();
  }

  /** Lets the log grow beyond its limit. Returns its size. */
  async function grow(app: TestApp): Promise<number> {
    const alice = await app.addUser(`alice${sizeOf(app)}`);
    while (sizeOf(app) <= maxIdleWalBytes) await app.insert(alice, { metadata: large });
    return sizeOf(app);
  }

  itHere("shrinks at the next write after other processes' old snapshots end", async () => {
    const app = await startApp({ sweepSeconds: 3600 });
    const alice = await app.addUser('alice');
    const close = reader(app);
    const grown = await grow(app);
    close();
    // The first checkpoint copies everything to the database; the second restarts the log.
    for (let n = 0; n < 2; n++) expect((await clientOf(app, alice).create()).status).to.equal(201);
    expect(sizeOf(app)).to.be.at.most(maxIdleWalBytes).and.lessThan(grown);
  });

  itHere('shrinks while idle; a log that cannot shrink is reported once', async () => {
    const app = await startApp({ sweepSeconds: 3600 });
    const shrink = walShrinker(app.server.context);
    const close = reader(app);
    await grow(app);
    for (let n = 0; n < 3; n++) await shrink();
    expect(sizeOf(app)).to.be.greaterThan(maxIdleWalBytes);
    expect(app.log().match(/the write-ahead log grows/g)).to.have.length(1);
    close();
    await shrink();
    expect(sizeOf(app)).to.equal(0);
    expect(app.log()).not.to.contain('failed');
  });

  itHere('does not grow while the reader of an export stalls, and the export is complete', async () => {
    const app = await startApp({ sweepSeconds: 3600 });
    const alice = await app.addUser('alice');
    const first = await Promise.all(Array.from({ length: 150 }, () => app.insert(alice, { metadata: large })));
    const child = start(['export', '--db', app.server.context.config.db], { env: {}, cwd: '/', stdout: 'unread' });
    await once(child.stdout as NodeJS.ReadableStream, 'readable');
    let most = 0;
    for (let n = 0; n < 700; n++) {
      await app.insert(alice, { metadata: large });
      most = Math.max(most, sizeOf(app));
    }
    expect(most, 'with 42 MB written meanwhile').to.be.lessThan(maxIdleWalBytes);
    let text = '';
    for await (const chunk of child.stdout as NodeJS.ReadableStream) text += chunk;
    const ids = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).sandbox_id);
    expect(ids.toSorted()).to.deep.equal(first.toSorted());
  });

  itHere('an export has each sandbox once, in the original order, as it is when read', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const { now } = app.clock;
    for (let n = 0; n < 250; n++) await app.insert(alice, { id: `s${n}`, startedAt: now + n, status: 'paused' });
    const { db, sqlite } = app.server.context.store;
    const seen: [string, string][] = [];
    for await (const { id, status } of exportSandboxes(db, () => now)) {
      seen.push([id, status]);
      if (seen.length > 1) continue;
      // A sandbox already read, one still to be read, one deleted and one created.
      sqlite.exec(`update sandboxes set status = 'active', started_at = ${now + 999} where id in ('s0', 's200')`);
      sqlite.exec("delete from sandboxes where id = 's201'");
      await app.insert(alice, { id: 'late', startedAt: now - 1 });
    }
    const expected = Array.from({ length: 250 }, (_, n) => [`s${n}`, n === 200 ? 'active' : 'paused']);
    expect(seen).to.deep.equal(expected.filter(([id]) => id !== 's201'));
    expect((await sandpit(['export', '--db', sqlite.name])).stdout.match(/\n/g)).to.have.length(250);
  });
});
