import { expect } from 'chai';
import { isExploded } from '../../app/contract/query.ts';
import { isE2b } from '../../app/http/dialect.ts';
import { cli } from '../../db/events/record.ts';
import { createSandbox } from '../../db/sandboxes/create.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { type Operation, parametersOf } from '../../spec/load.ts';
import { metadataQuery, timeAt, useE2b } from '../helpers/clients/e2b-client.ts';
import { contract } from '../helpers/contract.ts';
import { itHere } from '../helpers/server.ts';

/** The handler's message or, for a text that cannot be a token at all, the contract's. */
const notAToken = /^(Invalid next token$|validation error: query.nextToken: String should match pattern)/;

describe("listing E2B's sandboxes", () => {
  const { app, e2b, bobs } = useE2b();

  const tokenOf = (text: string) => encodeURIComponent(Buffer.from(text).toString('base64url'));

  it('200: lists running and paused sandboxes, newest first; the older path lists running ones only', async () => {
    const one = await e2b.create({ metadata: { a: '1' }, timeout: 60, envVars: { S: 'secret' } });
    app.clock.now += 1000;
    const two = await e2b.create({ templateID: 'other:v1', allow_internet_access: true });
    await e2b.does(two, 'pause');
    const common = { clientID: '6532622b', envdVersion: '0.6.4', cpuCount: 2, memoryMB: 512, diskSizeMB: 0 };
    const first = { templateID: 'base', alias: 'base', sandboxID: one, startedAt: timeAt(0), endAt: timeAt(60) };
    const second = { templateID: 'other:v1', alias: 'other', sandboxID: two, startedAt: timeAt(1), endAt: timeAt(1) };
    const rows = [
      { ...common, ...second, state: 'paused', metadata: {} },
      { ...common, ...first, state: 'running', metadata: { a: '1' } },
    ];
    const { body, headers } = await e2b.list();
    expect(body).to.deep.equal(rows);
    expect(headers).to.include({ 'x-total-running': '1' }).and.not.have.property('x-next-token');
    expect((await e2b.get('/sandboxes')).body).to.deep.equal(rows.slice(1));
    expect([(await bobs.get('/v2/sandboxes')).body, (await bobs.get('/sandboxes')).body]).to.deep.equal([[], []]);
  });

  it('200: X-Total-Running counts all running sandboxes, unless the query excludes them', async () => {
    for (let n = 0; n < 3; n++) await e2b.create({ metadata: { n: `${n % 2}` } });
    await e2b.does(await e2b.create({ metadata: { n: '0' } }), 'pause');
    const totals = [];
    for (const query of ['limit=1', 'state=running&limit=2', 'metadata=n%3D0', 'state=paused', 'template=nope']) {
      totals.push((await e2b.list(query)).headers['x-total-running']);
    }
    expect(totals).to.deep.equal(['3', '3', '2', undefined, '0']);
  });

  itHere('200: X-Total-Running follows each change, the clock and other processes', async () => {
    const totals = async () => [
      (await e2b.list()).headers['x-total-running'],
      (await e2b.list('metadata=n%3D0')).headers['x-total-running'],
      (await e2b.list('template=base')).headers['x-total-running'],
    ];
    const create = (n: number, timeout: number) => e2b.create({ metadata: { n: `${n}` }, timeout });
    await create(0, 10);
    const id = await create(0, 20);
    await create(1, 30);
    for (let again = 0; again < 2; again++) expect(await totals()).to.deep.equal(['3', '2', '3']);
    app.clock.now += 10_000;
    for (let again = 0; again < 2; again++) expect(await totals()).to.deep.equal(['2', '1', '2']);
    await e2b.does(id, 'pause');
    expect(await totals()).to.deep.equal(['1', '0', '1']);
    app.clock.now -= 10_000;
    expect(await totals()).to.deep.equal(['2', '1', '2']);
    const other = openStore(app.server.context.config.db);
    const found = other.db.selectFrom('sandboxes').select('owner_id').where('id', '=', id);
    const { owner_id: ownerId } = await found.executeTakeFirstOrThrow();
    const wanted = { templateId: null, metadata: { n: '0' }, env: null, lifetimeSeconds: 300 };
    await inTransaction(other.db, (trx) => createSandbox(trx, app.clock.now, { ...cli, ownerId }, wanted));
    await other.close();
    expect(await totals()).to.deep.equal(['3', '2', '2']);
    app.clock.now += 30_000;
    expect(await totals()).to.deep.equal(['1', '1', '0']);
  });

  it('200: returns a token exactly when there are more rows', async () => {
    for (let n = 0; n < 4; n++) await e2b.create();
    for (const [limit, rows, hasToken] of [
      [1, 1, true],
      [3, 3, true],
      [4, 4, false],
      [5, 4, false],
      [100, 4, false],
    ] as const) {
      const { body, headers } = await e2b.list(`limit=${limit}`);
      expect([body.length, 'x-next-token' in headers], `limit ${limit}`).to.deep.equal([rows, hasToken]);
    }
  });

  it('200: at most 100 by default; the older path lists all', async () => {
    await e2b.post(`/sandboxes/${await e2b.create()}/fork`, { count: 100 });
    const { body, headers } = await e2b.list();
    expect([body.length, headers['x-total-running']]).to.deep.equal([100, '101']);
    expect(await e2b.listed(`nextToken=${headers['x-next-token']}`)).to.have.length(1);
    expect(await e2b.running('limit=1&state=paused')).to.have.length(101);
  });

  it('200: accepts a filter with more pairs than an SQLite expression allows', async () => {
    const many = Object.fromEntries(Array.from({ length: 1100 }, (_, n) => [`k${n}`, `${n % 10}`]));
    const match = await e2b.create({ metadata: many });
    await e2b.create({ metadata: { ...many, k1099: '0' } });
    const query = `metadata=${encodeURIComponent(new URLSearchParams(many).toString())}`;
    expect(await e2b.listed(query)).to.deep.equal([match]);
    expect((await e2b.list(query)).headers).to.include({ 'x-total-running': '1' });
  });

  it('400: a filter longer than 8,192 characters', async () => {
    const value = 'x'.repeat(8190);
    const id = await e2b.create({ metadata: { a: value } });
    for (const list of [e2b.listed, e2b.running]) expect(await list(metadataQuery({ a: value }))).to.deep.equal([id]);
    for (const path of ['/v2/sandboxes', '/sandboxes'])
      await e2b.refused(metadataQuery({ aa: value }), /metadata/, path);
  });

  it('400: unknown states and orders, and limits out of range', async () => {
    for (const text of ['', 'running,', 'killed', 'RUNNING', '%20running', 'active'])
      await e2b.refused(`state=${text}`, /query\.state/);
    for (const text of ['', 'ASC', 'newest']) await e2b.refused(`order=${text}`, /query\.order/);
    for (const text of ['', '0', '101', '-1', '1.5', '1e1', 'a', '99999999999999999999'])
      await e2b.refused(`limit=${text}`, /query\.limit/);
  });

  it('400: a repeated parameter, in every operation, unless it is a list; unknown ones are ignored', async () => {
    await e2b.refused('state=running&state=paused', /query\.state: .*given more than once: join its values by commas/);
    const paths = Object.entries(contract.paths).filter(([path, { get }]) => isE2b(path) && get);
    const parameters = paths.flatMap(([path, { get }]) =>
      parametersOf(contract, get as Operation)
        .filter((parameter) => parameter.in === 'query' && !isExploded(parameter))
        .map(({ name }) => [path.replace(/\{.*?\}/, 'x'), name] as const),
    );
    expect(parameters).to.deep.include.members([
      ['/v2/sandboxes', 'state'],
      ['/sandboxes/x/logs', 'start'],
    ]);
    for (const [path, name] of parameters) {
      const words = new RegExp(`query\\.${name}: .*given more than once`);
      for (const query of [`${name}=1&${name}=1`, `${name}=1&a=&%${name.charCodeAt(0).toString(16)}${name.slice(1)}`]) {
        await e2b.refused(query, words, path);
      }
    }
    expect(await e2b.listed('state=running,paused&a=1&a=2')).to.deep.equal([]);
  });

  it('400: a token of the other order, or a malformed one', async () => {
    for (let n = 0; n < 2; n++) await e2b.create();
    const [desc, asc] = [(await e2b.list('limit=1')).headers, (await e2b.list('limit=1&order=asc')).headers];
    const [down, up] = [desc['x-next-token'] as string, asc['x-next-token'] as string];
    expect(await e2b.listed(`nextToken=${down}`)).to.have.length(1);
    expect(await e2b.listed(`nextToken=${up}&order=asc`)).to.have.length(1);
    const time = '2025-01-18T10:30:00.000Z';
    const wrong = [
      '',
      `${time}`,
      `${time}__`,
      `__a`,
      `${time}_a`,
      `${time}__A`,
      `${time}__a__desc`,
      `${time}__a\n`,
      `${time}__é`,
    ];
    const times = ['2025-01-18', '2025-13-18T10:30:00Z', '2025-01-18T10:30:00', '2025-01-18T10:30:00+00:00', '0', 'x'];
    for (const text of [...wrong, ...times.map((t) => `${t}__a`)])
      await e2b.refused(`nextToken=${tokenOf(text)}`, notAToken);
    for (const query of [
      `nextToken=${up}`,
      `nextToken=${down}&order=asc`,
      'nextToken=x',
      'nextToken=%00',
      'nextToken=null',
    ]) {
      await e2b.refused(query, notAToken);
    }
  });

  it('400: a token with characters around it that are not base64url', async () => {
    const token = tokenOf('2025-01-18T10:30:00.000Z__a');
    for (const text of [`${token}!`, `%20${token}`, `!${token}`]) await e2b.refused(`nextToken=${text}`, notAToken);
  });
});
