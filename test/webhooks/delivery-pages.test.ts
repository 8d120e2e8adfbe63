import { join } from 'node:path';
import { expect } from 'chai';
import { cli } from '../../db/events/record.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { type DeliveryQuery, listDeliveries } from '../../db/webhooks/deliveries.ts';
import { deleteEndpoint } from '../../db/webhooks/endpoints.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('pages of webhook deliveries', () => {
  const store = openStore(join(temporaryDirectory(), 'deliveries.db'));
  const { db, sqlite } = store;
  after(() => db.destroy());
  before(() => {
    sqlite.exec("insert into users (name, created_at) values ('alice', 0), ('bob', 0)");
    const endpoint = sqlite.prepare(
      `insert into webhook_endpoints (id, owner_id, url, event_patterns, enabled, secret, created_at, updated_at)
      values (?, ?, 'https://example.com/', '[]', 1, 's', 0, 0)`,
    );
    const delivery = sqlite.prepare(
      `insert into webhook_deliveries (id, endpoint_id, kind, body, status, attempts, round, created_at)
      values (?, ?, ?, '{}', ?, 1, 1, 0)`,
    );
    for (let n = 0; n < 51; n++) endpoint.run(`e${n}`, n < 50 ? 1 : 2);
    for (let n = 0; n < 1000; n++) {
      const kind = n % 3 ? 'vm.created' : 'vm.killed';
      delivery.run(`m${n}`, `e${(n * 7) % 51}`, kind, n % 5 ? 'succeeded' : 'failed');
    }
  });

  const wanted: [string, Omit<DeliveryQuery, 'limit'>, string][] = [
    ['all', {}, 'true'],
    ['behind a cursor', { before: 400 }, 'seq < 400'],
    ['of a status', { status: 'failed' }, "status = 'failed'"],
    ['of a status that none has', { status: 'pending' }, 'false'],
    ['to an endpoint', { endpointId: 'e7' }, "endpoint_id = 'e7'"],
    [
      'of a status to an endpoint',
      { endpointId: 'e7', status: 'failed', before: 900 },
      "endpoint_id = 'e7' and status = 'failed' and seq < 900",
    ],
    ['of a kind', { kind: 'vm.killed', before: 900 }, "kind = 'vm.killed' and seq < 900"],
    ['of a kind and status', { kind: 'vm.killed', status: 'failed' }, "kind = 'vm.killed' and status = 'failed'"],
    ["to somebody else's endpoint", { endpointId: 'e50' }, 'false'],
  ];
  for (const [name, query, condition] of wanted) {
    it(`list the owner's newest first, without a sort or a scan: ${name}`, async () => {
      const expected = sqlite
        .prepare(
          `select seq from webhook_deliveries where endpoint_id <> 'e50' and ${condition} order by seq desc limit 30`,
        )
        .pluck()
        .all();
      const plans: string[] = [];
      const { prepare } = sqlite;
      sqlite.prepare = ((text: string) => {
        const parameters = Array.from(text.matchAll(/\?/g), () => 1);
        const steps = prepare.call(sqlite, `explain query plan ${text}`).all(parameters) as { detail: string }[];
        if (text.includes('webhook_deliveries')) plans.push(...steps.map(({ detail }) => detail));
        return prepare.call(sqlite, text);
      }) as typeof prepare;
      const found = await listDeliveries(db, 1, { ...query, limit: 30 });
      sqlite.prepare = prepare;
      expect(found.map(({ seq }) => seq)).to.deep.equal(expected);
      expect(plans.filter((step) => /TEMP B-TREE|SCAN webhook/.test(step))).to.deep.equal([]);
    });
  }

  it('are deleted with their endpoint, a few hundred in each transaction', async () => {
    const count = sqlite
      .prepare<[string], number>('select count(*) from webhook_deliveries where endpoint_id = ?')
      .pluck();
    sqlite.exec(`insert into webhook_endpoints (id, owner_id, url, event_patterns, enabled, secret, created_at, updated_at)
      values ('gone', 1, 'https://example.com/', '[]', 1, 's', 0, 0)`);
    sqlite.exec(`insert into webhook_deliveries (id, endpoint_id, kind, body, status, attempts, round, created_at)
      select 'gone' || seq, 'gone', 'vm.created', '{}', 'pending', 1, 1, 0 from webhook_deliveries`);
    const others = count.get('e7');
    const left: unknown[] = [];
    const { transaction } = db;
    db.transaction = () => {
      left.push(count.get('gone'));
      return transaction.call(db);
    };
    await deleteEndpoint(db, () => 0, { ...cli, ownerId: 1 }, 'gone');
    db.transaction = transaction;
    expect(left).to.deep.equal([1000, 1000, 500, 0, 0]);
    expect([count.get('gone'), count.get('e7')]).to.deep.equal([0, others]);
    expect(sqlite.prepare("select count(*) from webhook_endpoints where id = 'gone'").pluck().get()).to.equal(0);
  });
});
