import { expect } from 'chai';
import { maxFinished, maxUnfinished } from '../../db/builds/builds.ts';
import { failForgotten, failInterrupted } from '../../db/builds/finish.ts';
import { maxEntries, maxMessageLength } from '../../db/builds/log.ts';
import { inTransaction } from '../../db/store.ts';
import { apiKey, itHere, startApp } from '../helpers/server.ts';
import { FakeDriver } from '../lifecycle/fake-driver.ts';
import { type Builds, startBuilds } from './setup.ts';

const sentByClients = { forceUpload: true, resolveSymlinks: true };

const uuid = '8d2c3f1e-0000-4000-8000-000000000000';
const hash = 'a'.repeat(64);

describe('builds of templates, asked for', () => {
  let one = {} as Builds;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    one = await startBuilds();
  });

  itHere('202: a name with its tags, in lower case and without doubles; the first names the template', async () => {
    const { request, alice } = one;
    for (const [name, tags, expected] of [
      ['plain', undefined, ['default']],
      ['Mixed', ['V1', 'v1', 'stable'], ['v1', 'stable']],
      [`${alice.name}/tagged:v2`, ['latest'], ['v2', 'latest']],
    ] as const) {
      const build = await request(name, { tags });
      const plain = name.toLowerCase().replace(/^.*\/|:.*$/g, '');
      expect(build, name).to.deep.include({ names: [`${alice.name}/${plain}`], aliases: [plain], tags: expected });
    }
    const [a, b] = [await request('plain'), await request('plain', { cpuCount: 8, memoryMB: 128, minFreeDiskMB: 0 })];
    expect(a.templateID).to.equal(b.templateID);
    expect(a.buildID).not.to.equal(b.buildID);
    expect((await one.e2b.post('/v3/templates', { alias: 'old' })).body.aliases).to.deep.equal(['old']);
  });

  itHere('400, 401, 403, 413, 415, 501: what no build can be made of', async () => {
    const { app, alice, e2b } = one;
    const post = (body: object) => e2b.post('/v3/templates', body);
    for (const body of [
      {},
      { name: '' },
      { name: 'a b' },
      { name: 'a\0b' },
      { name: 'ü' },
      { name: 'bob/mine' },
      { name: 'x', tags: ['a/b'] },
      { name: 'x', cpuCount: 0 },
      { name: 'x', memoryMB: 64 },
      { name: 'x', unknown: 1 },
      { name: ['x'] },
    ]) {
      expect((await post(body)).status, JSON.stringify(body)).to.equal(400);
    }
    expect((await app.http.post('/v3/templates').send({ name: 'x' })).status).to.equal(401);
    const reader = { 'X-API-Key': await readOnlyKey(one) };
    expect((await app.http.post('/v3/templates').set(reader).send({ name: 'x' })).status).to.equal(403);
    expect((await post({ name: 'x'.repeat(2 ** 20) })).status).to.equal(413);
    const asText = await app.http.post('/v3/templates').set(apiKey(alice)).type('text').send('x');
    expect(asText.status).to.equal(415);
    for (const more of [{ teamID: 'team' }, { minFreeDiskMB: 10 }]) {
      const { status, body } = await post({ name: 'x', ...more });
      expect([status, body.message]).to.satisfy(
        ([code, words]: [number, string]) =>
          code === 501 && words.startsWith(`${Object.keys(more)[0]} is not offered: `),
      );
    }
  });

  itHere('409: more builds than may wait; ended ones are kept up to a number', async () => {
    const { request, fail, e2b, app } = one;
    const builds = [];
    for (let n = 0; n < maxUnfinished; n++) builds.push(await request(`n${n}`));
    const { status, body } = await e2b.post('/v3/templates', { name: 'more' });
    expect([status, body.message]).to.satisfy(
      ([code, words]: [number, string]) => code === 409 && words.includes(`${maxUnfinished} builds`),
    );
    for (const build of builds) await fail(build);
    const { sqlite } = app.server.context.store;
    const copy = sqlite.prepare(`
      insert into template_builds (id, owner_id, template_id, name, tags, vcpu_count, memory_mb, status, created_at, updated_at)
      select hex(randomblob(16)), owner_id, template_id, name, tags, 1, 128, 'error', 0, 0 from template_builds limit 1`);
    for (let n = 0; n < maxFinished; n++) copy.run();
    await request('more');
    const count = sqlite.prepare('select count(*) from template_builds').pluck().get();
    expect(count).to.equal(maxFinished + 1);
  });

  itHere('202: what to build, once; 409 after that; it reaches the builder', async () => {
    const { request, start, started, statusOf } = one;
    const build = await request('mine');
    expect((await statusOf(build)).body).to.deep.include({ status: 'waiting', logs: [], logEntries: [] });
    const steps = [
      { type: 'COPY', args: ['a', 'b', '', ''], filesHash: hash, force: true, ...sentByClients },
      { type: 'ENV', args: ['A', '1', 'B', ''] },
      { type: 'RUN', args: ['true', 'root'] },
      { type: 'USER', args: ['user'] },
      { type: 'WORKDIR', args: ['/app'] },
    ];
    expect(await start(build, { fromTemplate: 'Base', steps, startCmd: 'x', readyCmd: 'y', force: true })).to.equal(
      202,
    );
    expect(await start(build)).to.equal(409);
    expect(started).to.deep.equal([build.buildID]);
    expect((await statusOf(build)).body).to.include({ status: 'building' });
  });

  itHere('400, 401, 403, 413, 415, 501: what can’t be built names its step', async () => {
    const { app, alice, e2b, request, start, started } = one;
    const build = await request('mine');
    const path = `/v2/templates/${build.templateID}/builds/${build.buildID}`;
    const step = (type: string, args?: unknown[], more: object = {}) => ({
      fromImage: 'x',
      steps: [
        { type: 'RUN', args: ['true'] },
        { type, args, ...more },
      ],
    });
    for (const [body, words] of [
      [{}, /either fromImage or fromTemplate/],
      [{ fromImage: 'x', fromTemplate: 'y' }, /either fromImage or fromTemplate/],
      [step('RUN'), /^Step 2, RUN, takes a command/],
      [step('RUN', ['a', 'b', 'c']), /^Step 2, RUN,/],
      [step('RUN', ['a\0b']), /NUL/],
      [step('ENV', ['A']), /^Step 2, ENV, takes names and values/],
      [step('ENV', ['A=', '1']), /^Step 2, ENV, has a name/],
      [step('COPY', ['a', 'b']), /^Step 2, COPY, needs filesHash/],
      [step('USER', ['a'], { filesHash: hash }), /^Step 2, USER, takes no filesHash/],
      [step('CMD', ['a']), /type/],
      [step('COPY', ['a', 'b'], { filesHash: '../x' }), /filesHash/],
      [step('RUN', [1]), /args/],
      [{ fromImage: '' }, /fromImage/],
      [{ fromImage: 'a\0b' }, /NUL/],
      [{ fromImage: 'x', startCmd: 'a\0b' }, /NUL/],
      [{ fromTemplate: 'a b' }, /fromTemplate/],
    ] as const) {
      const { status, body: answer } = await e2b.post(path, body);
      expect(status, JSON.stringify(body)).to.equal(400);
      expect(answer.message).to.match(words);
    }
    const credentials = { type: 'registry', username: 'a', password: 'secret' };
    const refused = await e2b.post(path, { fromImage: 'x', fromImageRegistry: credentials });
    expect(refused.status).to.equal(501);
    expect(refused.body.message)
      .to.match(/^fromImageRegistry is not offered: .*docker pull/)
      .and.not.contain('secret');
    const ask = () => app.http.post(path);
    expect((await ask().send({ fromImage: 'x' })).status).to.equal(401);
    expect(
      (
        await ask()
          .set('X-API-Key', await readOnlyKey(one))
          .send({ fromImage: 'x' })
      ).status,
    ).to.equal(403);
    expect((await e2b.post(path, step('RUN', ['x'.repeat(2 ** 20)]))).status).to.equal(413);
    expect((await ask().set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
    expect(started).to.deep.equal([]);
    expect(await start(build)).to.equal(202);
  });

  itHere('404: what there is not, and what another user has; 400: no id; 401', async () => {
    const { app, e2b, request } = one;
    const build = await request('mine');
    const bob = await app.addUser('bob');
    const { templateID, buildID } = build;
    const calls = (template: string, id: string) => [
      ['post', `/v2/templates/${template}/builds/${id}`],
      ['get', `/templates/${template}/builds/${id}/status`],
      ['get', `/templates/${template}/builds/${id}/logs`],
    ];
    for (const [method = '', path = ''] of calls(templateID, buildID)) {
      const call = () => app.http[method as 'get'](path).send({ fromImage: 'x' });
      const { status, body } = await call().set(apiKey(bob));
      expect([status, body.message], path).to.deep.equal([404, `template '${templateID}' not found`]);
      if (method === 'get') expect((await app.http.get(path)).status).to.equal(401);
    }
    for (const [method = '', path = ''] of [...calls(templateID, uuid), ...calls('other', buildID)]) {
      const ask = method === 'get' ? e2b.get(path) : e2b.post(path, { fromImage: 'x' });
      expect((await ask).status, path).to.equal(404);
    }
    for (const [method = '', path = ''] of [...calls(templateID, 'x'), ...calls('a%20b', buildID)]) {
      const ask = method === 'get' ? e2b.get(path) : e2b.post(path, { fromImage: 'x' });
      expect((await ask).status, path).to.equal(400);
    }
  });

  itHere('200: a log by offset, level, time and direction; 400 beyond the numbers', async () => {
    const { e2b, request, say, statusOf } = one;
    const build = await request('mine');
    const entries = Array.from({ length: 130 }, (_, n) => ({
      message: `${n}`,
      at: 1_000 * n,
      level: n % 10 === 0 ? ('warn' as const) : ('debug' as const),
      step: n === 0 ? 'base' : null,
    }));
    await say(build, entries);
    const messages = async (query: string) =>
      ((await statusOf(build, query)).body as { logEntries?: { message: string }[] }).logEntries?.map(
        ({ message }) => message,
      );
    expect(await messages('')).to.have.length(100);
    expect((await messages('?logsOffset=100'))?.[0]).to.equal('100');
    expect(await messages('?logsOffset=130')).to.deep.equal([]);
    expect(await messages('?logsOffset=2147483647')).to.deep.equal([]);
    expect(await messages('?level=info&logsOffset=11&limit=5')).to.deep.equal(['110', '120']);
    const logs = `/templates/${build.templateID}/builds/${build.buildID}/logs`;
    const { body } = await e2b.get(`${logs}?cursor=60000&direction=backward&level=warn&limit=2&source=persistent`);
    expect(body.logs).to.deep.equal([
      { timestamp: '1970-01-01T00:01:00.000Z', message: '60', level: 'warn' },
      { timestamp: '1970-01-01T00:00:50.000Z', message: '50', level: 'warn' },
    ]);
    expect((await e2b.get(logs)).body.logs[0]).to.deep.include({ message: '0', step: 'base' });
    for (const query of ['logsOffset=-1', 'logsOffset=2147483648', 'limit=101', 'level=loud', 'logsOffset=x']) {
      expect((await statusOf(build, `?${query}`)).status, query).to.equal(400);
    }
    for (const query of ['cursor=-1', 'direction=up', 'source=x']) {
      expect((await e2b.get(`${logs}?${query}`)).status, query).to.equal(400);
    }
  });

  itHere('keep a log to its bounds, and say so; the first entries stay', async () => {
    const { request, say, statusOf } = one;
    const [many, long] = [await request('many'), await request('long')];
    await say(many, Array(maxEntries + 10).fill({ message: 'x' }));
    await say(many, [{ message: 'more' }]);
    const end = (await statusOf(many, `?logsOffset=${maxEntries}`)).body as { logEntries?: object[] };
    expect(end.logEntries).to.have.length(1);
    expect(end.logEntries?.[0]).to.deep.include({ level: 'warn' });
    await say(long, [{ message: '😀'.repeat(maxMessageLength) }]);
    const { logEntries } = (await statusOf(long)).body as { logEntries?: { message: string }[] };
    expect(logEntries?.[0]?.message).to.have.length.at.most(maxMessageLength);
    expect(logEntries?.[0]?.message.isWellFormed()).to.equal(true);
  });

  itHere(
    'end as errors: a failed step says what it said last; what a stop of the server cut off; a forgotten one',
    async () => {
      const { app, request, start, say, fail, statusOf } = one;
      const { store } = app.server.context;
      const [failed, cut, forgotten] = [await request('a'), await request('b'), await request('c')];
      await start(failed);
      await say(failed, [{ message: 'before' }, { message: 'cat: x', step: '2', level: 'error' }]);
      await fail(failed, '2');
      const { reason } = (await statusOf(failed)).body as { reason?: { logEntries: object[] } };
      expect(reason).to.deep.include({ message: 'no such file', step: '2' });
      expect(reason?.logEntries).to.have.length(1);
      await start(cut);
      app.clock.now += 3_600_000;
      await inTransaction(store.db, (trx) => failInterrupted(trx, app.clock.now));
      await inTransaction(store.db, (trx) => failForgotten(trx, app.clock.now, 10));
      for (const [build, words] of [
        [cut, /The server stopped/],
        [forgotten, /not begun within an hour/],
      ] as const) {
        const { status, reason: why } = (await statusOf(build)).body as {
          status?: string;
          reason?: { message: string };
        };
        expect([status, why?.message]).to.satisfy(([s, m]: [string, string]) => s === 'error' && words.test(m));
        expect(await start(build)).to.equal(409);
      }
    },
  );

  itHere('501: with records only, and with machines of which no snapshots can be taken', async () => {
    const records = await startApp();
    const alice = await records.addUser('alice');
    const without = await startBuilds(new FakeDriver([]));
    for (const [{ http }, caller] of [
      [records, alice],
      [without.app, without.alice],
    ] as const) {
      const build = `builds/${uuid}`;
      for (const [method, path, body] of [
        ['post', '/v3/templates', { name: 'x' }],
        ['post', `/v2/templates/x/${build}`, { fromImage: 'x' }],
        ['get', `/templates/x/${build}/status`],
        ['get', `/templates/x/${build}/logs`],
        ['get', `/templates/x/files/${hash}`],
        ['put', `/templates/x/files/${hash}?expires=1&signature=${hash}`],
      ] as const) {
        const { status, body: answer } = await http[method](path).set(apiKey(caller)).send(body);
        expect([status, answer.message], path).to.satisfy(
          ([code, words]: [number, string]) => code === 501 && words.startsWith('Sandpit builds no templates here'),
        );
      }
    }
  });
});

async function readOnlyKey({ app, alice }: Builds): Promise<string> {
  const { body } = await app.http
    .post('/v1/api-keys/')
    .set(apiKey(alice))
    .send({ permissions: ['read'] });
  return body.api_key;
}
