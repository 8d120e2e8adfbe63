import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { deleteUser } from '../../db/accounts/users.ts';
import type { JsonObject } from '../../db/json/json.ts';
import { compileFilter, maxIndexedPairs } from '../../db/metadata.ts';
import { endSandbox, updateSandbox } from '../../db/sandboxes/change.ts';
import { SandboxInserter } from '../../db/sandboxes/insert.ts';
import { listSandboxes } from '../../db/sandboxes/lists/list.ts';
import { pauseSandbox, resumeSandbox } from '../../db/sandboxes/runs.ts';
import { disorderOf } from '../../db/sqlite/index/ordinals.ts';
import { checkIndex, reorder } from '../../db/sqlite/index/reindex.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { insertSandbox } from '../helpers/insert.ts';
import { actor, type Caller, startApp, type TestApp } from '../helpers/server.ts';

const metadata = fc.record({
  env: fc.constantFrom('prod', 'dev'),
  tags: fc.subarray(['x', 'y', 'z']),
  user: fc.nat(3),
}) as fc.Arbitrary<JsonObject>;
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('insert' as const), metadata, startedAt: fc.nat(5) }),
  fc.record({
    kind: fc.constantFrom('import' as const),
    many: fc.array(fc.tuple(metadata, fc.nat(5)), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constantFrom('replace' as const), which: fc.nat(20), metadata }),
  fc.record({ kind: fc.constantFrom('end' as const, 'pause' as const), which: fc.nat(20) }),
  fc.record({ kind: fc.constantFrom('resume' as const), which: fc.nat(20), startedAt: fc.nat(10) }),
  fc.record({ kind: fc.constantFrom('reorder' as const) }),
);

describe('the metadata index', () => {
  let app: TestApp;
  let owners = 0;
  beforeEach(async () => {
    app = await startApp();
  });

  const check = () => checkIndex(app.server.context.store.db);
  const row = (owner: Caller, id: string, document: JsonObject, startedAt: number) => ({
    id,
    ownerId: owner.id,
    metadata: document,
    startedAt,
    endAt: null,
    status: 'active' as const,
    templateId: null,
    env: null,
    memoryMb: 128,
    vcpuCount: 1,
  });

  it('agrees with the documents and keeps the order after any mix of changes', async () => {
    const { db } = app.server.context.store;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const owner = await app.addUser(`owner-${owners++}`);
        const model = new Map<string, { metadata: JsonObject; startedAt: number; status?: string }>();
        const nextId = () => `${owner.name}-${model.size}`;
        for (const s of steps) {
          const [id, known] = [...model][('which' in s ? s.which : 0) % Math.max(1, model.size)] ?? [];
          if (s.kind === 'insert') {
            const fresh = nextId();
            await inTransaction(db, (trx) => insertSandbox(trx, row(owner, fresh, s.metadata, s.startedAt)));
            model.set(fresh, s);
          } else if (s.kind === 'import') {
            await inTransaction(db, async (trx) => {
              const inserter = new SandboxInserter(trx);
              for (const [document, startedAt] of s.many) {
                const fresh = nextId();
                await inserter.add(row(owner, fresh, document, startedAt));
                model.set(fresh, { metadata: document, startedAt });
              }
              await inserter.flush();
            });
          } else if (s.kind === 'reorder') {
            await inTransaction(db, (trx) => reorder(trx, owner.id));
            expect(await disorderOf(db, owner.id)).to.equal(0);
          } else if (id && known && s.kind === 'replace' && known.status !== 'killed') {
            await inTransaction(db, (trx) => updateSandbox(trx, 10, actor(owner), id, { metadata: s.metadata }));
            model.set(id, { ...known, metadata: s.metadata });
          } else if (id && known && s.kind === 'end') {
            await inTransaction(db, (trx) => endSandbox(trx, 10, actor(owner), id));
            model.set(id, { ...known, status: 'killed' });
          } else if (id && known && s.kind === 'pause' && !known.status) {
            await inTransaction(db, (trx) => pauseSandbox(trx, 10, actor(owner), id));
            model.set(id, { ...known, status: 'paused' });
          } else if (id && known && s.kind === 'resume' && known.status === 'paused') {
            await inTransaction(db, (trx) => resumeSandbox(trx, s.startedAt, actor(owner), id, 60));
            model.set(id, { metadata: known.metadata, startedAt: s.startedAt });
          }
        }
        expect((await check()).errors).to.deep.equal([]);
        for (const filter of [{ env: 'prod' }, { env: 'dev', user: 1 }, { tags: ['x', 'y'] }, {}]) {
          const expected = [...model]
            .filter(([, { metadata: m }]) =>
              Object.entries(filter).every(([k, v]) =>
                Array.isArray(v) ? v.every((t) => (m[k] as string[]).includes(t)) : m[k] === v,
              ),
            )
            .sort(([a, x], [b, y]) => y.startedAt - x.startedAt || (a < b ? -1 : 1))
            .map(([id]) => id);
          for (const limit of [1, 3, 100]) {
            const found = await listSandboxes(db, 10, owner.id, { filter: compileFilter(filter), limit });
            expect(found.map(({ id }) => id)).to.deep.equal(expected.slice(0, limit));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('lists in order over many chunks with old sandboxes imported late, before and after reordering', async () => {
    const { db } = app.server.context.store;
    const alice = await app.addUser('alice');
    const count = 10_000;
    // 7,919 is coprime to the count, so every start occurs once, out of order.
    const startOf = (n: number) => (n < count / 2 ? n : (n * 7919) % count) + (n < count / 2 ? count : 0);
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (let n = 0; n < count; n++) {
        await inserter.add(row(alice, `s${n}`, { even: n % 2 === 0, third: n % 3 }, startOf(n)));
      }
      await inserter.flush();
    });
    const expected = Array.from({ length: count }, (_, n) => n)
      .filter((n) => n % 2 === 0 && n % 3 === 1)
      .sort((a, b) => startOf(b) - startOf(a) || (`s${a}` < `s${b}` ? -1 : 1))
      .map((n) => `s${n}`);
    const first = async (limit: number) => {
      const filter = compileFilter({ even: true, third: 1 });
      return (await listSandboxes(db, 0, alice.id, { filter, limit })).map(({ id }) => id);
    };
    for (const limit of [1, 100, 1000]) expect(await first(limit)).to.deep.equal(expected.slice(0, limit));
    await inTransaction(db, (trx) => reorder(trx, alice.id));
    for (const limit of [1, 100, 1000]) expect(await first(limit)).to.deep.equal(expected.slice(0, limit));
    expect(await check()).to.deep.equal({ sandboxes: count, errors: [] });
  });

  it('lists everything while another process reorders the index', async () => {
    const { db } = app.server.context.store;
    const alice = await app.addUser('alice');
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (let n = 0; n < 6000; n++) await inserter.add(row(alice, `s${n}`, { a: [{ b: n % 10, c: 1 }] }, 6000 - n));
      await inserter.flush();
    });
    const other = openStore(app.server.context.config.db);
    const filter = compileFilter({ a: [{ b: 5, c: 1 }] });
    const listing = listSandboxes(db, 0, alice.id, { filter, limit: 500 });
    await inTransaction(other.db, (trx) => reorder(trx, alice.id));
    await other.close();
    const found = (await listing).map(({ id }) => id);
    expect(found).to.deep.equal(Array.from({ length: 500 }, (_, n) => `s${n * 10 + 5}`));
  });

  it('lists everything, without delay, while a sandbox is paused and resumed continually', async () => {
    const { db } = app.server.context.store;
    const alice = await app.addUser('alice');
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (let n = 0; n < 6000; n++) await inserter.add(row(alice, `s${n}`, { a: [{ b: n % 10, c: 1 }] }, n));
      await inserter.flush();
    });
    const filter = compileFilter({ a: [{ b: 5, c: 1 }] });
    let found: string[] | undefined;
    const listing = listSandboxes(db, 0, alice.id, { filter, limit: 1000 }).then((sandboxes) => {
      found = sandboxes.map(({ id }) => id);
    });
    const clock = () => 7000;
    while (!found) {
      await inTransaction(db, (trx) => pauseSandbox(trx, clock(), actor(alice), 's5'));
      await inTransaction(db, (trx) => resumeSandbox(trx, clock(), actor(alice), 's5', 60));
      // The event loop runs between two requests.
      await nextTurn();
    }
    await listing;
    expect(new Set(found)).to.deep.equal(new Set(Array.from({ length: 600 }, (_, n) => `s${n * 10 + 5}`)));
  });

  it('keeps no entries of a deleted user or a failed import', async () => {
    const { db, sqlite } = app.server.context.store;
    const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
    await app.insert(alice, { metadata: { a: 1 } });
    await app.insert(bob, { id: 'taken', metadata: { a: 1 } });
    const failing = inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      await inserter.add(row(bob, 'fine', { b: 1 }, 0));
      await inserter.flush();
      await inserter.add(row(bob, 'taken', { b: 1 }, 0));
    });
    await failing.catch(() => {});
    expect(await check()).to.deep.equal({ sandboxes: 2, errors: [] });
    await inTransaction(db, (trx) => deleteUser(trx, 'alice', { withSandboxes: true }));
    expect(await check()).to.deep.equal({ sandboxes: 1, errors: [] });
    expect(sqlite.prepare('select count(*) from sandbox_metadata').pluck().get()).to.equal(1);
  });

  it('finds documents with too many pairs to index, in order, after any change', async () => {
    const { db, sqlite } = app.server.context.store;
    const alice = await app.addUser('alice');
    const many = (kind: string): JsonObject => ({ kind, list: Array.from({ length: maxIndexedPairs }, (_, n) => n) });
    const isLarge = (n: number) => n % 3 === 0;
    await inTransaction(db, async (trx) => {
      const inserter = new SandboxInserter(trx);
      for (let n = 0; n < 300; n++) await inserter.add(row(alice, `s${n}`, isLarge(n) ? many('a') : { kind: 'a' }, n));
      await inserter.flush();
    });
    const found = async (filter: object) =>
      (await listSandboxes(db, 10, alice.id, { filter: compileFilter(filter as JsonObject), limit: 1000 })).map(
        ({ id }) => id,
      );
    const newestFirst = (wanted: (n: number) => boolean) =>
      Array.from({ length: 300 }, (_, n) => 299 - n)
        .filter(wanted)
        .map((n) => `s${n}`);
    expect(await found({ kind: 'a' })).to.deep.equal(newestFirst(() => true));
    expect(await found({ list: [7, 255] })).to.deep.equal(newestFirst(isLarge));
    expect(await found({ kind: 'a', list: [maxIndexedPairs] })).to.deep.equal([]);
    // In one chunk: one list for the kind of the small documents, and one for all large ones.
    const entries = () => sqlite.prepare('select count(*) from sandbox_metadata').pluck().get();
    expect(entries()).to.equal(2);
    await inTransaction(db, (trx) => updateSandbox(trx, 400, actor(alice), 's0', { metadata: { kind: 'b' } }));
    await inTransaction(db, (trx) => updateSandbox(trx, 400, actor(alice), 's1', { metadata: many('b') }));
    expect(await found({ kind: 'b' })).to.deep.equal(['s1', 's0']);
    expect(await found({ kind: 'a' })).to.deep.equal(newestFirst((n) => n > 1));
    expect((await check()).errors).to.deep.equal([]);
  });

  it('writes only the difference when metadata changes', async () => {
    const { db, sqlite } = app.server.context.store;
    const alice = await app.addUser('alice');
    const pairs = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`k${n}`, n]));
    const id = await app.insert(alice, { metadata: pairs });
    const changes = () => sqlite.prepare('select total_changes()').pluck().get() as number;
    const before = changes();
    await inTransaction(db, (trx) =>
      updateSandbox(trx, app.clock.now, actor(alice), id, { metadata: { ...pairs, k7: 'other' } }),
    );
    // One pair removed, one added, the row and the event.
    expect(changes() - before).to.be.below(10);
    expect((await check()).errors).to.deep.equal([]);
  });

  it('the check finds an index that disagrees', async () => {
    const { sqlite } = app.server.context.store;
    const alice = await app.addUser('alice');
    await app.insert(alice, { metadata: { a: 1, b: 2 } });
    expect((await check()).errors).to.deep.equal([]);
    sqlite.exec("insert into sandbox_metadata values (x'00', 0, x'0000')");
    expect((await check()).errors).to.deep.equal(['1 rows belong to no sandbox']);
    sqlite.exec("delete from sandbox_metadata where pair = x'00'; update sandbox_metadata set members = x'0500'");
    expect((await check()).errors[0]).to.equal(`chunk 0 of user ${alice.id} is wrong`);
    sqlite.exec('delete from sandbox_metadata');
    expect((await check()).errors).to.have.length(2);
  });
});
