import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { migrate, migrations } from '../../db/sqlite/migrations/migrate.ts';
import { local, useHooks } from '../helpers/clients/webhook-client.ts';
import { itHere, startApp, startTime, temporaryDirectory } from '../helpers/server.ts';

/** The last migration before the outbox. */
const before = 7;

describe('a database of a version without an outbox', () => {
  const hooks = useHooks();

  itHere('sends the pending messages to the endpoints that matched when the event happened', async () => {
    const file = join(temporaryDirectory(), 'old.db');
    const sqlite = new Database(file);
    migrate(
      sqlite,
      migrations.filter(({ id }) => id <= before),
    );
    sqlite.exec("insert into users (name, created_at) values ('alice', 0), ('bob', 0)");
    const addEvent = sqlite.prepare(
      "insert into events (at, kind, owner_id, subject, via, details) values (?, ?, ?, ?, 'api', '{}')",
    );
    const kinds = ['vm.created', 'vm.killed', 'vm.created', 'snapshot.created', 'vm.killed', 'vm.created'];
    for (const [n, kind] of kinds.entries()) addEvent.run(startTime, kind, 1, `s${n + 1}`);
    addEvent.run(startTime, 'vm.created', 2, 's7');
    const addEndpoint = sqlite.prepare(
      `insert into webhook_endpoints (id, owner_id, url, event_patterns, enabled, secret, seen_seq, old_patterns, created_at, updated_at)
      values (?, 1, ?, ?, ?, 'whsec_AAAA', ?, ?, 0, 0)`,
    );
    const add = (id: string, patterns: string[], isEnabled: boolean, seen: number, old: object[] = []) =>
      addEndpoint.run(id, hooks().receiver.url, JSON.stringify(patterns), isEnabled ? 1 : 0, seen, JSON.stringify(old));
    add('whe_all', ['*'], true, 0);
    add('whe_seen', ['*'], true, 6);
    add('whe_kind', ['vm.killed'], true, 2);
    add('whe_off', ['*'], false, 0);
    const old = [
      { patterns: ['vm.created'], until: 2 },
      { patterns: [], until: 4 },
    ];
    add('whe_changed', ['vm.*'], true, 0, old);
    sqlite.exec(`insert into webhook_deliveries (id, endpoint_id, event_seq, kind, body, status, attempts, round, next_attempt_at, created_at)
      values ('msg_old', 'whe_seen', 6, 'vm.created', '{"type":"vm.created","data":{"subject":"s6"}}', 'pending', 1, 1, ${startTime}, ${startTime})`);
    sqlite.close();
    const app = await startApp({ ...local, db: file });
    const { store } = app.server.context;
    expect(store.backups, 'what is rewritten is copied before').to.have.length(3);
    const patterns = store.sqlite.prepare('select event_patterns from webhook_endpoints where id = ?').pluck();
    expect(patterns.get('whe_kind'), 'an end that had this kind before').to.equal('["vm.killed","vm.died"]');
    expect(patterns.get('whe_changed')).to.equal('["vm.*"]');
    await hooks().receiver.received(6 + 1 + 1 + 3);
    const sent = () =>
      store.sqlite
        .prepare<[], string>(
          "select endpoint_id || ' ' || event_seq from webhook_deliveries where status = 'succeeded'",
        )
        .pluck()
        .all();
    while (sent().length < 11) await new Promise((resolve) => setImmediate(resolve));
    const all = [1, 2, 3, 4, 5, 6].map((seq) => `whe_all ${seq}`);
    const changed = [1, 5, 6].map((seq) => `whe_changed ${seq}`);
    expect(sent()).to.have.members([...all, 'whe_seen 6', 'whe_kind 5', ...changed]);
    expect(store.sqlite.prepare('select count(*) from webhook_outbox').pluck().get()).to.equal(0);
  });
});
