import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestMode } from '../../app/api/test-mode/mode.ts';
import { HttpError } from '../../app/errors.ts';
import { listPath, startTestClient, type TestClient } from '../helpers/clients/test-client.ts';
import { operations } from '../helpers/contract.ts';
import { sandpit, serveTest } from '../helpers/processes/process.ts';
import { apiKey, clientOf, itHere, shareApp, startApp, startTime, temporaryDirectory } from '../helpers/server.ts';

const record = { sandbox_id: 'a', owner: 'admin', metadata: {}, started_at: '2025-01-18T10:00:00Z', status: 'killed' };

function seedFile(...lines: object[]): string {
  const file = join(temporaryDirectory(), 'seed.jsonl');
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return file;
}

describe('sandpit serve --test', () => {
  it('prints one line of JSON with its address, and nothing else on standard output', async () => {
    const { url, apiKey: key, pid, output, closeStdin } = await serveTest();
    expect(url).to.match(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await fetch(`${url}${listPath}`, { headers: { 'X-API-Key': key } })).status).to.equal(200);
    process.kill(pid, 0);
    await closeStdin();
    expect(output.stdout.trimEnd().split('\n')).to.have.length(1);
    expect(() => process.kill(pid, 0)).to.throw('ESRCH');
  });

  it('stops when its standard input closes or a signal arrives, whatever is under way', async () => {
    const { call, server } = await startTestClient();
    await call('POST', '/_test/faults', { delay_seconds: 60 });
    const waiting = call('GET', listPath).catch(() => 'cut off');
    while (!(await call('GET', '/_test/requests')).text.includes(listPath));
    expect(await server.closeStdin()).to.equal(0);
    expect(await waiting).to.equal('cut off');
    for (const signal of ['SIGTERM', 'SIGINT'] as const) expect(await (await serveTest()).stop(signal)).to.equal(0);
  });

  it('refuses a database, an address that is not loopback, and an invalid seed', async () => {
    const wrong = seedFile(record, { ...record, status: 'gone' });
    const refusals: [string[], RegExp, Record<string, string>?][] = [
      [['--test', '--db', join(temporaryDirectory(), 'real.db')], /--test keeps everything in memory: leave out --db/],
      [['--test'], /SANDPIT_DB \(here \/var\/real\.db\)/, { SANDPIT_DB: '/var/real.db' }],
      [['--test', '--host', '0.0.0.0'], /--test listens on loopback only/],
      [['--test', '--host', '::'], /loopback only/],
      [['--test', '--host', '127.0.0.1.example.com'], /loopback only/],
      [['--test', '--seed', wrong], /--seed .*line 2: status: Input should be 'active'/],
      [['--test', '--seed', '/nowhere.jsonl'], /--seed \/nowhere\.jsonl: .*no such file/],
      [['--test', '--random-seed', '-1'], /whole number/],
      [['--seed', wrong], /--allow-network are for test servers: add --test/],
      [['--allow-network'], /--allow-network are for test servers: add --test/],
    ];
    for (const [args, message, env = {}] of refusals) {
      const { code, stdout, stderr } = await sandpit(['serve', ...args], { env });
      expect([code, stdout], args.join(' ')).to.deep.equal([1, '']);
      expect(stderr).to.match(message);
    }
  });

  it('listens on the network with --allow-network', async () => {
    const { url, closeStdin } = await serveTest(['--host', '0.0.0.0', '--allow-network']);
    expect((await fetch(`http://127.0.0.1:${new URL(url).port}/health`)).status).to.equal(200);
    await closeStdin();
  });

  it("restores the seed's sandboxes after a reset of their owner", async () => {
    const { call, list, steer, server } = await startTestClient([
      '--seed',
      seedFile(record, { ...record, sandbox_id: 'b', owner: 'bob' }),
    ]);
    await call('POST', '/v1/vms', {});
    expect(await list()).to.have.length(2);
    await steer('reset', undefined, { 'X-API-Key': server.apiKey });
    expect(await list()).to.deep.equal(['a killed']);
    await server.closeStdin();
  });

  it('passes conform', async () => {
    const { url, apiKey: key, closeStdin } = await serveTest();
    const suite = await sandpit(['conform', '--url', url, '--sandboxes', '101'], {
      env: { SANDPIT_CONFORM_API_KEY: key },
    });
    expect(suite.code, suite.stdout).to.equal(0);
    expect(suite.stdout).to.match(/ passed, 0 failed/);
    await closeStdin();
  });

  it('returns the same bytes after every start and reset with the same --random-seed, and others with another', async () => {
    const exchange = async ({ call, create }: TestClient) => {
      const id = await create({ metadata: { a: 1 } });
      const answers = [
        await call('GET', `/v1/vms/${id}`),
        await call('POST', `/v1/vms/${id}/snapshot`, {}),
        await call('POST', '/_test/users', { name: 'bob' }),
        await call('POST', '/_test/clock', { advance_seconds: 400 }),
        await call('GET', listPath),
        await call('GET', '/nowhere'),
      ];
      return answers.map(({ text, headers }) => [text, [...headers]] as const);
    };
    const withoutRequestIds = (exchanged: Awaited<ReturnType<typeof exchange>>) =>
      exchanged.map(([text, headers]) => [text, headers.filter(([name]) => name !== 'x-request-id')]);
    const seeded = (seed: string) => startTestClient(['--random-seed', seed]);
    const [one, same, other] = [await seeded('7'), await seeded('7'), await seeded('8')];
    const first = await exchange(one);
    // Concurrent requests change request ids only.
    for (let n = 0; n < 3; n++) await same.list();
    expect(withoutRequestIds(await exchange(same))).to.deep.equal(withoutRequestIds(first));
    expect(same.server.apiKey).to.equal(one.server.apiKey);
    await one.steer('reset');
    expect(await exchange(one)).to.deep.equal(first);
    expect(await exchange(other)).not.to.deep.equal(first);
    for (const { server } of [one, same, other]) await server.closeStdin();
  });
});

describe('an ordinary server', () => {
  const app = shareApp();

  it('has no /_test/ paths', async () => {
    const alice = await app().addUser('alice');
    for (const { method, path } of operations.filter((o) => o.path.startsWith('/_test/'))) {
      for (const url of [path, `${path}?test=true`, `//_test${path.slice(6)}`]) {
        const ask = app().http[method as 'get'](url);
        const { status } = await ask
          .set({ ...apiKey(alice), 'X-Test': 'true' })
          .send(method === 'get' ? undefined : {});
        expect(status, `${method} ${url}`).to.equal(404);
      }
    }
  });
});

describe('a response that breaks the contract', () => {
  itHere('is 500 on a test server, and names the error and the schema', async () => {
    const test = createTestMode(() => startTime, null);
    const app = await startApp({}, { test });
    const alice = await app.addUser('alice');
    const client = clientOf(app, alice);
    const id = await app.insert(alice);
    app.server.context.store.sqlite.prepare("update sandboxes set metadata = '[]'").run();
    const listed = await app.http.get(listPath).set(apiKey(alice));
    expect([listed.status, listed.body.detail]).to.deep.equal([
      500,
      'The response breaks the contract of list_sandboxes_v1_sessions_sandboxes_get, status 200: ' +
        'response.0.metadata must be object (#/components/schemas/VMSandboxInfo/properties/metadata)',
    ]);
    expect((await client.read(id)).body.detail).to.contain('(#/components/schemas/VM');
  });

  itHere('is 500 if it is an error response, too', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const { keyUse } = app.server.context;
    Object.defineProperty(app.clock, 'now', {
      get: () => {
        // From the time of authentication.
        if (keyUse.size > 0) throw new HttpError(418);
        return startTime;
      },
    });
    const { status, body } = await app.http.get(listPath).set(apiKey(alice));
    Object.defineProperty(app.clock, 'now', { value: startTime });
    expect([status, body]).to.deep.equal([500, { detail: 'Internal Server Error' }]);
  });
});
