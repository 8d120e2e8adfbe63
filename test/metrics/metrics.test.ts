import { once } from 'node:events';
import { statSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import fc from 'fast-check';
import { sweep } from '../../app/jobs/tasks.ts';
import { countByStatus } from '../../db/sandboxes/lists/counts.ts';
import { local, Receiver } from '../helpers/clients/webhook-client.ts';
import { type Serving, sandpit, serve } from '../helpers/processes/process.ts';
import { apiKey, clientOf, itHere, startApp, temporaryDirectory } from '../helpers/server.ts';

const givenKey = `e2b_${'5'.repeat(40)}`;
const token = 'scrape-me-if-you-can';

/** Starts the application with metrics. Returns it and functions that read them. */
async function startWatched(config: Parameters<typeof startApp>[0] = {}) {
  const app = await startApp({ port: 0, metricsPort: 0, ...config });
  const url = await app.server.start();
  const address = app.server.metricsUrl() as string;
  /** Returns the value of a series in Prometheus notation, or undefined if it does not exist. */
  const read = async () => {
    const lines = (await (await fetch(address)).text()).split('\n');
    return (series: string) => {
      const line = lines.find((each) => each.startsWith(`${series} `));
      return line === undefined ? undefined : Number(line.slice(series.length + 1));
    };
  };
  return { app, url, address, read };
}

describe('metrics', () => {
  itHere("count requests by the contract's path, method and status, never by the actual path", async () => {
    const { app, url, address, read } = await startWatched();
    const alice = await app.addUser('alice');
    const get = (path: string, init: RequestInit = {}) => fetch(url + path, { headers: apiKey(alice), ...init });
    for (const id of ['one', 'two']) await get(`/v1/vms/${id}`);
    await get('/v1/sessions/sandboxes?limit=0&metadata={"secret":"sesame"}');
    await get('/v1/sessions/sandboxes');
    for (const id of ['sesame', 'sesame2']) await get(`/v1/vaults/${id}`);
    for (const path of ['/nope/sesame', '/docs/sesame', '/nope2']) await get(path);
    await fetch(`${url}/v1/vms`, { method: 'PROPFIND' });
    const value = await read();
    const count = (method: string, route: string, status: number) =>
      value(`sandpit_http_request_duration_seconds_count{method="${method}",route="${route}",status="${status}"}`);
    expect(count('GET', '/v1/vms/{vm_id}', 404)).to.equal(2);
    expect(count('GET', '/v1/sessions/sandboxes', 422)).to.equal(1);
    expect(count('GET', '/v1/sessions/sandboxes', 200)).to.equal(1);
    expect(count('GET', '/v1/vaults/{vault_id}', 501)).to.equal(2);
    expect(count('GET', 'other', 404)).to.equal(3);
    expect(count('other', 'other', 405)).to.equal(1);
    expect(value('sandpit_http_requests_in_flight')).to.equal(0);
    expect(await (await fetch(address)).text()).not.to.match(/sesame|alice|e2b_/);
  });

  itHere('count a request whose client left as 499, as the log does', async () => {
    const { app, url, read } = await startWatched();
    const { key } = await app.addUser('alice');
    const other = new Database(app.server.context.store.sqlite.name);
    other.exec('begin immediate');
    const head = (line: string) => `${line} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\n`;
    const create = `${head('POST /v1/vms')}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(create + `${head('GET /v1/vms')}\r\n`.repeat(2));
    await once(socket, 'connect');
    // The requests have arrived by then: the first waits for the other process, the others for a
    // slot.
    await fetch(`${url}/health`);
    socket.resetAndDestroy();
    await app.logged(/(.*"status":499.*\s+){3}/);
    other.exec('rollback');
    other.close();
    const value = await read();
    const count = (labels: string) => value(`sandpit_http_request_duration_seconds_count{${labels}}`);
    expect(count('method="POST",route="/v1/vms",status="499"')).to.equal(1);
    expect(count('method="GET",route="other",status="499"')).to.equal(2);
    expect(app.log()).not.to.match(/"method":"POST".*"status":20|aborted/);
  });

  itHere('count the sandboxes of all owners by their present status', async () => {
    const { app, read } = await startWatched();
    const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
    const { now } = app.clock;
    await app.insert(alice, { endAt: now + 1000 });
    await app.insert(bob, { endAt: null });
    await app.insert(bob, { endAt: now + 1000, onTimeout: 'pause' });
    await app.insert(bob, { status: 'paused' });
    await app.insert(alice, { status: 'killed' });
    const statuses = async () => {
      const value = await read();
      return ['active', 'paused', 'killed'].map((status) => value(`sandpit_sandboxes{status="${status}"}`));
    };
    expect(await statuses()).to.deep.equal([3, 1, 1]);
    app.clock.now += 999;
    expect(await statuses()).to.deep.equal([3, 1, 1]);
    app.clock.now += 1;
    expect(await statuses(), 'no sweep has run').to.deep.equal([1, 2, 2]);
  });

  itHere('count changes of sandboxes, but not those rolled back', async () => {
    const { app, read } = await startWatched();
    const alice = await app.addUser('alice');
    const { create, end } = clientOf(app, alice);
    const made = async (body = {}) => (await create(body)).body.vm_id as string;
    const [first] = [await made(), await made({ vm_lifetime_seconds: 60 })];
    expect((await create({ metadata: { large: 'x'.repeat(70_000) } })).status).to.equal(422);
    const e2b = (path: string, body = {}) => app.http.post(`/sandboxes/${path}`).set(apiKey(alice)).send(body);
    expect((await e2b(`${first}/pause`)).status).to.equal(204);
    expect((await e2b(`${first}/resume`, { timeout: 60 })).status).to.equal(201);
    await end(first);
    await end(first);
    app.clock.now += 61_000;
    await sweep(app.server.context);
    const value = await read();
    const changes = ['created', 'suspended', 'resumed', 'killed', 'expired', 'deleted'].map((change) =>
      value(`sandpit_events_total{kind="vm.${change}"}`),
    );
    expect(await read()).to.satisfy((again: typeof value) => again('sandpit_events_total{kind="vm.created"}') === 2);
    expect(changes).to.deep.equal([2, 1, 1, 1, 1, 0]);
    expect(value('sandpit_sweeper_duration_seconds_count{task="sweep"}')).to.be.greaterThan(0);
    expect(value('sandpit_sweeper_failures_total{task="sweep"}')).to.equal(0);
  });

  itHere('count webhook attempts by result, and pending deliveries', async () => {
    const { app, read } = await startWatched(local);
    const alice = await app.addUser('alice');
    const receiver = new Receiver();
    await once(receiver.server, 'listening');
    const post = (path: string, body: object) => app.http.post(path).set(apiKey(alice)).send(body);
    await post('/v1/webhooks/endpoints', { url: receiver.url, event_patterns: ['vm.created'] });
    /** Makes the receiver respond with this status. Returns the counts once one is counted. */
    const sent = async (status: number, outcome: string) => {
      receiver.answer = (res) => res.writeHead(status).end();
      await post('/v1/vms', {});
      for (;;) {
        const value = await read();
        const attempts = (of: string) => value(`sandpit_webhook_attempts_total{outcome="${of}"}`);
        const counts = [...['succeeded', 'failed', 'given_up'].map(attempts), value('sandpit_webhooks_pending')];
        if (attempts(outcome)) return counts;
      }
    };
    expect(await sent(204, 'succeeded')).to.deep.equal([1, 0, 0, 0]);
    expect(await sent(500, 'failed')).to.deep.equal([1, 1, 0, 1]);
    expect(await sent(410, 'given_up'), 'nothing is sent to it any more').to.deep.equal([1, 1, 1, 0]);
    receiver.close();
  });

  itHere('report the size of the database, the event loop lag and the version', async () => {
    const { app, address, read } = await startWatched();
    await app.addUser('alice');
    const value = await read();
    const { sqlite } = app.server.context.store;
    const pages = sqlite.pragma('page_count', { simple: true }) as number;
    const wal = statSync(`${sqlite.name}-wal`).size;
    expect(value('sandpit_database_wal_bytes')).to.equal(wal).and.greaterThan(0);
    expect(value('sandpit_database_size_bytes')).to.equal(pages * 4096 + wal);
    expect(value('sandpit_database_free_bytes')).to.equal(0);
    expect(value('sandpit_store_up')).to.equal(1);
    expect(value('nodejs_eventloop_lag_p99_seconds')).to.be.a('number');
    const response = await fetch(address);
    expect(response.headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/);
    const { node } = process.versions;
    expect(await response.text()).to.match(
      new RegExp(
        `^sandpit_build_info\\{version="0\\.1\\.0",commit="checkout",node="${node}",sqlite="3\\.\\S+"\\} 1$`,
        'm',
      ),
    );
  });

  itHere('work without the store, and report it as down', async () => {
    const { app, read } = await startWatched();
    app.server.context.store.sqlite.close();
    const value = await read();
    expect(value('sandpit_store_up')).to.equal(0);
    expect(value('sandpit_sandboxes{status="active"}')).to.equal(undefined);
    expect(value('sandpit_database_size_bytes')).to.equal(undefined);
    expect(value('process_resident_memory_bytes')).to.be.greaterThan(0);
  });

  itHere('count by status as a scan of all rows would', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const { db, sqlite } = app.server.context.store;
    const sandbox = fc.record({
      status: fc.constantFrom('active' as const, 'paused' as const, 'killed' as const),
      onTimeout: fc.constantFrom('kill' as const, 'pause' as const),
      endAt: fc.constantFrom(null, app.clock.now - 1, app.clock.now, app.clock.now + 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(sandbox, { maxLength: 12 }), async (sandboxes) => {
        sqlite.exec('delete from sandboxes');
        const expected = { active: 0, paused: 0, killed: 0 };
        for (const each of sandboxes) {
          await app.insert(alice, each);
          const isDue = each.status === 'active' && each.endAt !== null && each.endAt <= app.clock.now;
          expected[isDue ? (each.onTimeout === 'pause' ? 'paused' : 'killed') : each.status]++;
        }
        expect(await countByStatus(db, app.clock.now)).to.deep.equal(expected);
      }),
      { numRuns: 30 },
    );
  });

  describe('the metrics listener', () => {
    const db = () => `${temporaryDirectory()}/sandpit.db`;
    const running: Serving[] = [];
    const run = async (...args: string[]) => {
      const serving = await serve(['--db', db(), '--api-key', givenKey, ...args]);
      running.push(serving);
      return serving;
    };
    afterEach(async () => {
      for (const { stop } of running.splice(0)) await stop();
    });
    const metricsOf = (stderr: string) => /Metrics: (\S+?),? /.exec(`${stderr.replaceAll('\n', ' ')} `)?.[1] as string;

    it('is off by default, and never on the main listener', async () => {
      const plain = await run();
      expect(plain.output.stderr).not.to.contain('Metrics');
      const { url, output, stop } = await run('--metrics-port', '0');
      expect((await fetch(`${url}/metrics`)).status).to.equal(404);
      const address = metricsOf(output.stderr);
      expect(address).to.match(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
      expect((await fetch(address)).status).to.equal(200);
      expect((await fetch(address, { method: 'HEAD' })).status).to.equal(200);
      expect((await fetch(address, { method: 'POST' })).status).to.equal(405);
      expect((await fetch(new URL('/v1/sessions/sandboxes', address))).status).to.equal(404);
      expect(await stop()).to.equal(0);
      expect(await fetch(address).catch(() => 'gone'), 'it closes with the server').to.equal('gone');
    });

    it('requires a token unless the address is loopback', async () => {
      const file = db();
      for (const host of ['0.0.0.0', '::', '192.0.2.1', '127.0.0.1.example']) {
        const { code, stderr } = await sandpit(['serve', '--db', file, '--metrics-port', '0', '--metrics-host', host]);
        expect(code).to.equal(1);
        expect(stderr).to.equal(
          `sandpit: other machines could read the metrics on ${host}: set SANDPIT_METRICS_TOKEN, or leave SANDPIT_METRICS_HOST at 127.0.0.1\n`,
        );
      }
      expect(() => new Database(file, { fileMustExist: true }), 'nothing was made').to.throw();
      const { output } = await run('--metrics-port', '0', '--metrics-host', '0.0.0.0', '--metrics-token', token);
      const address = metricsOf(output.stderr).replace('0.0.0.0', '127.0.0.1');
      const status = async (authorization?: string) =>
        (await fetch(address, { headers: authorization ? { Authorization: authorization } : {} })).status;
      for (const wrong of [undefined, token, `Basic ${token}`, 'Bearer', `Bearer ${token}x`, `Bearer ${givenKey}`]) {
        expect(await status(wrong), wrong ?? 'none').to.equal(401);
      }
      expect(await status(`Bearer ${token}`)).to.equal(200);
      expect(await status(`bearer ${token}`)).to.equal(200);
      expect(output.stdout + output.stderr).not.to.contain(token);
    });

    it('without a token, accepts only a loopback Host (against DNS rebinding)', async () => {
      const { output } = await run('--metrics-port', '0');
      const secret = await run('--metrics-port', '0', '--metrics-token', token);
      const status = async (address: string, host: string, headers = {}) => {
        const { hostname, port, pathname: path } = new URL(address);
        const req = request({ hostname, port, path, headers: { Host: host, ...headers } }).end();
        const [res] = await once(req, 'response');
        return res.resume().statusCode;
      };
      const address = metricsOf(output.stderr);
      const { port } = new URL(address);
      for (const own of [`127.0.0.1:${port}`, 'localhost', `LOCALHOST:${port}`, `[::1]:${port}`, '127.0.0.2']) {
        expect(await status(address, own), own).to.equal(200);
      }
      const foreign = ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example'];
      for (const other of [...foreign, '192.0.2.1', 'user@evil.example', 'evil.example#localhost', ':']) {
        expect(await status(address, other), other).to.equal(421);
      }
      const authorization = `Bearer ${token}`;
      expect(await status(metricsOf(secret.output.stderr), 'sandpit:9464', { authorization })).to.equal(200);
      expect(await status(metricsOf(secret.output.stderr), 'sandpit:9464')).to.equal(401);
    });

    it('refuses a short token and a port in use', async () => {
      const short = await sandpit(['serve', '--db', db()], { env: { SANDPIT_METRICS_TOKEN: 'short' } });
      expect(short.stderr).to.match(/^sandpit: SANDPIT_METRICS_TOKEN must be at least 16 /);
      const first = await run('--metrics-port', '0');
      const { port } = new URL(metricsOf(first.output.stderr));
      const second = await sandpit(['serve', '--db', db(), '--port', '0', '--metrics-port', port]);
      expect(second.code).to.equal(1);
      expect(second.stderr).to.equal(`sandpit: can't serve metrics on 127.0.0.1:${port}: it is in use\n`);
    });
  });
});
