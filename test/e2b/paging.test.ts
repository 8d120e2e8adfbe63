import { expect } from 'chai';
import fc from 'fast-check';
import type { SandboxStatus } from '../../db/schema.ts';
import { checkIndex } from '../../db/sqlite/index/reindex.ts';
import { type E2b, e2bOf, idsOf, metadataQuery, useE2b } from '../helpers/clients/e2b-client.ts';
import {
  type Drawn,
  expected,
  type Metadata,
  metadata,
  type Query,
  query,
  type Row,
  sandbox,
  urlOf,
} from '../helpers/clients/e2b-model.ts';
import { apiKey, type Caller, clientOf, startTime } from '../helpers/server.ts';

describe("paging through E2B's sandboxes", () => {
  const { app } = useE2b();
  let owners = 0;

  const newOwner = () => {
    app.clock.now = startTime;
    return app.addUser(`pager-${++owners}`);
  };

  /** Returns the ids of each page, and each page's X-Total-Running. */
  const allPages = async (e2b: E2b, url: string, between: () => Promise<void> = async () => {}) => {
    const pages: string[][] = [];
    const totals: (string | undefined)[] = [];
    let token: string | undefined;
    do {
      const { body, headers } = await e2b.get(token === undefined ? url : `${url}&nextToken=${token}`);
      pages.push(idsOf(body));
      totals.push(headers['x-total-running']);
      token = headers['x-next-token'];
      if (token) await between();
    } while (token);
    return { pages, totals };
  };

  const insert = async (owner: Caller, { started, ends, status, ...rest }: Drawn) => {
    const startedAt = startTime + started;
    const endAt = ends === null ? null : app.clock.now + ends;
    const id = await app.insert(owner, { ...rest, status, startedAt, endAt });
    const isOver = status === 'active' && endAt !== null && endAt <= app.clock.now;
    const state: SandboxStatus = isOver ? (rest.onTimeout === 'pause' ? 'paused' : 'killed') : status;
    return { ...rest, id, startedAt, state };
  };

  it('returns the same as filtering and sorting all sandboxes, for any query, page size and dialect', async () => {
    const scenario = fc.tuple(fc.array(sandbox, { maxLength: 12 }), fc.array(query, { minLength: 1, maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(scenario, async ([sandboxes, queries]) => {
        const owner = await newOwner();
        const e2b = e2bOf(app, owner);
        const rows: Row[] = [];
        for (const s of sandboxes) rows.push(await insert(owner, s));
        for (const q of queries) {
          const wanted = expected(rows, q).map(({ id }) => id);
          const { pages, totals } = await allPages(e2b, urlOf(q));
          expect(pages.flat()).to.deep.equal(wanted);
          for (const page of pages.slice(0, -1)) expect(page).to.have.length(q.limit);
          expect(pages.at(-1)?.length).to.be.within(Math.min(1, wanted.length), q.limit);
          const running = expected(rows, { ...q, state: 'running' });
          const total = q.state === 'paused' ? undefined : String(running.length);
          expect(new Set(totals)).to.deep.equal(new Set([total]));
          if (q.metadata) {
            const older = await e2b.get(`/sandboxes?${metadataQuery(q.metadata)}`);
            const all = { state: 'running', metadata: q.metadata, limit: 0 } as Query;
            expect(idsOf(older.body)).to.deep.equal(expected(rows, all).map(({ id }) => id));
          }
        }
        const native = await app.http.get('/v1/sessions/sandboxes').set(apiKey(owner));
        const order = (a: Row, b: Row) => b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1);
        const seen = native.body.map((s: { sandbox_id: string; status: string }) => [s.sandbox_id, s.status]);
        expect(seen).to.deep.equal(rows.sort(order).map(({ id, state }) => [id, state]));
      }),
      { numRuns: 50 },
    );
  }).timeout(60_000);

  it('returns the same as sorting all, for many sandboxes most of which have ended', async () => {
    const many = fc.array(sandbox, { minLength: 100, maxLength: 200 });
    const wanted = query.filter(({ metadata: pairs }) => pairs !== undefined);
    await fc.assert(
      fc.asyncProperty(many, fc.array(wanted, { minLength: 2, maxLength: 4 }), async (sandboxes, queries) => {
        const owner = await newOwner();
        const e2b = e2bOf(app, owner);
        const rows: Row[] = [];
        for (const [n, s] of sandboxes.entries())
          rows.push(await insert(owner, n % 3 ? { ...s, status: 'killed' } : s));
        for (const q of queries) {
          const { pages, totals } = await allPages(e2b, urlOf({ ...q, limit: 40 + q.limit }));
          expect(pages.flat()).to.deep.equal(expected(rows, q).map(({ id }) => id));
          const running = expected(rows, { ...q, state: 'running' });
          expect(totals[0]).to.equal(q.state === 'paused' ? undefined : String(running.length));
        }
      }),
      { numRuns: 5 },
    );
  }).timeout(60_000);

  const event = fc.oneof(
    fc.record({ kind: fc.constant('create' as const), sandbox }),
    fc.record({ kind: fc.constant('kill' as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('pass' as const), milliseconds: fc.nat(1) }),
  );

  it('neither repeats nor misses a sandbox that lives throughout, whatever starts and ends between two pages', async () => {
    const scenario = fc.record({
      sandboxes: fc.array(sandbox, { minLength: 3, maxLength: 12 }),
      turns: fc.array(fc.array(event, { maxLength: 3 }), { minLength: 1, maxLength: 8 }),
      order: fc.constantFrom('asc', 'desc'),
      limit: fc.integer({ min: 1, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ sandboxes, turns, order, limit }) => {
        const owner = await newOwner();
        const e2b = e2bOf(app, owner);
        app.clock.now = startTime + 3;
        for (const s of sandboxes) await insert(owner, s);
        const before = (await e2b.get('/v2/sandboxes')).body;
        const known = idsOf(before);
        const { pages } = await allPages(e2b, `/v2/sandboxes?order=${order}&limit=${limit}`, async () => {
          for (const e of turns.shift() ?? []) {
            if (e.kind === 'pass') app.clock.now += e.milliseconds;
            else if (e.kind === 'kill') await e2b.remove(`/sandboxes/${known[e.which % known.length] ?? 'gone'}`);
            else known.push((await insert(owner, { ...e.sandbox, started: app.clock.now - startTime })).id);
          }
        });
        const seen = pages.flat();
        expect(new Set(seen)).to.have.property('size', seen.length);
        const still = new Set(idsOf((await e2b.get('/v2/sandboxes')).body));
        const throughout = idsOf(before).filter((id) => still.has(id));
        expect(seen).to.include.members(throughout);
      }),
      { numRuns: 60 },
    );
  }).timeout(60_000);

  const change = fc.oneof(
    fc.record({ kind: fc.constant('create' as const), metadata }),
    fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const, 'kill' as const), which: fc.nat(9) }),
    fc.record({ kind: fc.constant('replace' as const), which: fc.nat(9), metadata }),
    fc.record({ kind: fc.constant('pass' as const), milliseconds: fc.integer({ min: -2, max: 2 }) }),
  );

  it('agrees with the index after any mix of changes; resuming makes a sandbox the newest in both dialects', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 14 }), async (changes) => {
        const owner = await newOwner();
        const [e2b, native] = [e2bOf(app, owner), clientOf(app, owner)];
        const rows: Row[] = [];
        for (const c of changes) {
          const row = 'which' in c ? rows[c.which % Math.max(1, rows.length)] : undefined;
          if (c.kind === 'create') {
            const id = await e2b.create({ metadata: c.metadata });
            rows.push({ id, metadata: c.metadata, templateId: 'base', startedAt: app.clock.now, state: 'active' });
          } else if (c.kind === 'pass') app.clock.now += c.milliseconds;
          else if (row && c.kind === 'kill') {
            expect((await e2b.remove(`/sandboxes/${row.id}`)).status).to.equal(row.state === 'killed' ? 404 : 204);
            row.state = 'killed';
          } else if (row && c.kind === 'replace') {
            const { status } = await native.update(row.id, { metadata: c.metadata });
            expect(status).to.equal(row.state === 'killed' ? 409 : 200);
            if (row.state !== 'killed') row.metadata = c.metadata;
          } else if (row) {
            const [from, to, status] =
              c.kind === 'pause' ? (['active', 'paused', 204] as const) : (['paused', 'active', 201] as const);
            const answer = row.state === 'killed' ? 404 : row.state === from ? status : 409;
            expect(await e2b.does(row.id, c.kind)).to.equal(answer);
            if (answer === 201) row.startedAt = app.clock.now;
            if (answer === status) row.state = to;
          }
        }
        for (const pairs of [
          { env: 'prod' },
          { env: 'dev' },
          JSON.parse('{"__proto__":"x","é &":"="}'),
          {},
        ] as Metadata[]) {
          const all = { metadata: pairs, limit: 100 } as Query;
          const filter = { metadata: JSON.stringify(pairs) };
          const { body } = await app.http.get('/v1/sessions/sandboxes').set(apiKey(owner)).query(filter);
          const ended = rows.map((row) => ({ ...row, state: 'active' as const }));
          const found = body.map((s: { sandbox_id: string }) => s.sandbox_id);
          expect(found).to.deep.equal(expected(ended, all).map(({ id }) => id));
          if (Object.keys(pairs).length === 0) continue;
          expect(await e2b.listed(metadataQuery(pairs))).to.deep.equal(expected(rows, all).map(({ id }) => id));
        }
        expect((await checkIndex(app.server.context.store.db)).errors).to.deep.equal([]);
      }),
      { numRuns: 40 },
    );
  }).timeout(60_000);
});
