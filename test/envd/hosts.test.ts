import { get } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { expect } from 'chai';
import { startMachine, useMachine } from '../helpers/clients/machine-client.ts';

describe('hosts of sandboxes with machines', () => {
  const machine = useMachine({ domain: 'sandboxes.example.com:8443' });

  /** Node's fetch sends no Host of the caller's. */
  const at = (host: string, path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      get(`${machine.url}${path}`, { headers: { Host: `${host}.sandboxes.example.com`, ...headers } }, (res) => {
        readText(res).then((text) => resolve({ status: res.statusCode, text }), reject);
      }).on('error', reject);
    });

  it('port 49983 leads to the agent, by the name of the host or by the headers', async () => {
    await machine.write('a.txt', 'by host');
    const { id, token } = machine;
    const credential = { 'X-Access-Token': token };
    const byName = `49983-${id}`;
    expect((await at(byName, '/health')).status).to.equal(204);
    expect(await at(byName, '/files?path=a.txt', credential)).to.deep.equal({ status: 200, text: 'by host' });
    const named = { 'E2b-Sandbox-Id': id, 'E2b-Sandbox-Port': '49983' };
    expect((await at('sandbox', '/health', named)).status).to.equal(204);
    expect(await at('sandbox', '/files?path=a.txt', { ...named, ...credential })).to.include({ text: 'by host' });
    expect((await at(byName, '/files?path=a.txt')).status).to.equal(401);
    expect((await at('sandbox', '/files?path=a.txt', named)).status).to.equal(401);
  });

  it('the name of the host counts more than the header', async () => {
    const headers = { 'E2b-Sandbox-Id': 'i00000000000000000000', 'X-Access-Token': machine.token };
    expect((await at(`49983-${machine.id}`, '/files?path=a.txt', headers)).text).to.equal('by host');
  });

  it('404: paths that the agent has for its makers only, and unknown ones', async () => {
    for (const path of ['/init', '/freeze', '/sandboxes', '/v1/vms', '/', '/envs']) {
      const { status, text } = await at(`49983-${machine.id}`, path);
      expect([status, JSON.parse(text)], path).to.deep.equal([404, { code: 404, message: 'Not Found' }]);
    }
  });

  it('502: sandboxes that do not run; one that is paused with autoResume is resumed', async () => {
    expect((await at('49983-i00000000000000000000', '/health')).status).to.equal(502);
    expect((await at('49983-i00000000000000000000', '/init')).status).to.equal(502);
    const { app, url } = machine;
    const other = await startMachine(app, url, { autoPause: true, autoResume: { enabled: true } });
    await app.http.post(`/sandboxes/${other.id}/pause`).set('X-API-Key', other.owner.key);
    const path = '/files?path=nothing';
    expect((await at(`49983-${other.id}`, path, { 'X-Access-Token': 'wrong' })).status).to.equal(502);
    expect((await at(`49983-${other.id}`, path, { 'X-Access-Token': other.token })).status).to.equal(404);
  });
});

describe('what a sandbox uses', () => {
  const machine = useMachine();

  it('200: the latest reading, once there is one; 404 before', async () => {
    const { call, headers } = machine;
    for (;;) {
      const { status, text } = await call('/metrics');
      if (status === 404) continue;
      expect(status).to.equal(200);
      const reading = JSON.parse(text);
      expect(reading).to.include({ cpu_count: 2, mem_total: 512 * 2 ** 20, mem_total_mib: 512 });
      expect(reading.disk_total).to.be.above(reading.disk_used).and.above(0);
      break;
    }
    expect((await call('/metrics', { headers: { ...headers, 'X-Access-Token': 'x' } })).status).to.equal(401);
    expect((await call('/metrics', { headers: {} })).status).to.equal(400);
    expect((await call('/metrics', { headers: { ...headers, 'E2b-Sandbox-Id': 'i0' } })).status).to.equal(502);
  });

  it('404: on Sandpit itself, paths that E2B’s agent has for its makers', async () => {
    for (const path of ['/envs', '/init']) expect((await machine.call(path)).status).to.equal(404);
  });
});
