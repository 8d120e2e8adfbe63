import { join } from 'node:path';
import { expect } from 'chai';
import { allEvents, type EventQuery, listEvents } from '../../db/events/list.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('pages of the event log', () => {
  const store = openStore(join(temporaryDirectory(), 'events.db'));
  const { db, sqlite } = store;
  after(() => db.destroy());
  before(() => {
    sqlite.exec("insert into users (name, created_at) values ('alice', 0), ('bob', 0)");
    const insert = sqlite.prepare(
      `insert into events (at, kind, owner_id, subject, sandbox_id, session_id, via, details)
      values (?, ?, ?, 'x', ?, ?, 'api', '{}')`,
    );
    sqlite.transaction(() => {
      for (let n = 0; n < 150_000; n++) {
        const kind = n % 50_000 === 1 ? 'vm.killed' : n % 3 === 0 ? 'vm.updated' : 'snapshot.created';
        insert.run(n, kind, n % 10 === 9 ? 2 : 1, n % 1000 === 0 ? 'rare' : null, n % 2000 === 0 ? 'long' : null);
      }
    })();
  });

  const wanted: [string, Partial<EventQuery>, string][] = [
    ['all', {}, 'true'],
    ['of a rare kind', { kinds: ['vm.killed'] }, "kind = 'vm.killed'"],
    ['of a group, after a cursor', { kinds: ['vm.*'], after: 90_000 }, "kind glob 'vm.*' and seq < 90000"],
    ['of a kind that does not exist', { kinds: ['vm.exploded'] }, 'false'],
    ['of a sandbox', { sandboxId: 'rare' }, "sandbox_id = 'rare'"],
    [
      'of a sandbox and a kind, at an offset',
      { sandboxId: 'rare', kinds: ['vm.updated', 'vm.killed'], offset: 0 },
      "sandbox_id = 'rare' and kind = 'vm.updated'",
    ],
    ['of a session', { sessionId: 'long' }, "session_id = 'long'"],
    [
      'of a session and its first sandbox',
      { sessionId: '00000000-0000-8000-8000-000000000000', kinds: ['vm.*'] },
      'false',
    ],
    ['of two days', { since: 149_000, until: 149_900 }, 'at >= 149000 and at < 149900'],
  ];
  for (const [name, query, condition] of wanted) {
    it(`come from an index, without a sort or a scan: ${name}`, async () => {
      const expected = sqlite
        .prepare(`select seq from events where owner_id = 1 and ${condition} order by seq desc limit 30`)
        .pluck()
        .all();
      const plans: string[] = [];
      const { prepare } = sqlite;
      sqlite.prepare = ((text: string) => {
        const parameters = Array.from(text.matchAll(/\?/g), () => 1);
        const steps = prepare.call(sqlite, `explain query plan ${text}`).all(parameters) as { detail: string }[];
        plans.push(...steps.map(({ detail }) => detail));
        return prepare.call(sqlite, text);
      }) as typeof prepare;
      const { events } = await listEvents(db, { ...allEvents, ...query, ownerId: 1, order: 'desc', limit: 30 });
      sqlite.prepare = prepare;
      expect(events.map(({ seq }) => seq)).to.deep.equal(expected);
      expect(plans.filter((step) => /TEMP B-TREE|SCAN events/.test(step))).to.deep.equal([]);
    });
  }

  it('a query by time reads a bounded part of the log: a page may be empty although more follow', async () => {
    const query = { ...allEvents, ownerId: 1, order: 'desc' as const, until: 5 };
    const first = await listEvents(db, query);
    expect(first.events).to.deep.equal([]);
    expect(first.next).to.be.a('number');
    const second = await listEvents(db, { ...query, after: first.next });
    expect(second.events.map(({ at }) => at)).to.deep.equal([4, 3, 2, 1, 0]);
    expect(second.next).to.equal(null);
  });
});
