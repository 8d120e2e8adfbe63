import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import request from 'supertest';
import { readConfig } from '../../app/config/config.ts';
import { makeDomainCertificate } from '../helpers/certificate.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { closeNow } from '../helpers/listen.ts';
import { serve } from '../helpers/processes/process.ts';
import { itHere, shareApp, temporaryDirectory } from '../helpers/server.ts';
import { startTunnel } from '../helpers/tunnel.ts';

const key = `e2b_${'8'.repeat(40)}`;

describe('a domain', () => {
  const shared = shareApp({ domain: 'sandboxes.example.com:8443' });

  const started = async () => {
    const e2b = e2bOf(shared(), await shared().addUser(`alice-${Math.random()}`));
    const { body } = await e2b.post('/v2/sandboxes', { templateID: 'base' });
    return { e2b, id: body.sandboxID as string, body };
  };
  // Not through the recorder: it knows paths, and no hosts.
  const at = (host: string, path = '/', headers = {}) =>
    request(shared().server.app)
      .get(path)
      .set({ Host: host, ...headers });

  it('is in the answers to creating, reading, connecting, resuming and forking', async () => {
    const { e2b, id, body } = await started();
    const answers = [
      body,
      await e2b.read(id),
      (await e2b.post(`/sandboxes/${id}/connect`, { timeout: 60 })).body,
      (await e2b.post(`/sandboxes/${id}/fork`)).body[0].sandbox,
    ];
    await e2b.does(id, 'pause');
    answers.push((await e2b.post(`/sandboxes/${id}/resume`)).body);
    expect(answers.map(({ domain }) => domain)).to.deep.equal(Array(5).fill('sandboxes.example.com:8443'));
  });

  itHere("answers for a port of a sandbox as E2B's proxy does", async () => {
    const { e2b, id } = await started();
    const port = (number: number, path?: string) => at(`${number}-${id}.sandboxes.example.com:8443`, path);
    expect((await port(49_983, '/health')).status).to.equal(204);
    for (const [number, path] of [
      [49_983, '/files?path=a'],
      [49_983, '/metrics'],
      [49_983, '/sandboxes'],
      [49_983, '/v1/vms'],
      [49_983, '/'],
      [49_999, '/contexts'],
    ] as const) {
      const { status, body, headers } = await port(number, path);
      expect([status, body.code, headers['should-retry']], path).to.deep.equal([501, 501, 'false']);
      expect(body.message, path).to.match(/Sandpit/);
    }
    const closed = await port(3000, '/sandboxes');
    expect(closed.status).to.equal(502);
    expect(closed.body).to.include({ sandboxId: id, port: 3000, code: 502 });
    expect(closed.body.message).to.contain('port is not open');
    await e2b.does(id, 'pause');
    for (const number of [49_983, 3000]) {
      const { status, body } = await port(number, '/health');
      const expected = { sandboxId: id, message: 'The sandbox was not found', code: 502 };
      expect([status, body]).to.deep.equal([502, expected]);
    }
  });

  itHere('takes the sandbox and the port from the headers at the host sandbox', async () => {
    const { id } = await started();
    const ask = (headers: object, path = '/health') => at('sandbox.sandboxes.example.com', path, headers);
    expect((await ask({ 'E2b-Sandbox-Id': id, 'E2b-Sandbox-Port': '49983' })).status).to.equal(204);
    expect((await ask({ 'E2b-Sandbox-Id': id, 'E2b-Sandbox-Port': '80' })).status).to.equal(502);
    for (const headers of [{}, { 'E2b-Sandbox-Id': id }, { 'E2b-Sandbox-Port': '49983' }]) {
      expect((await ask(headers)).status).to.equal(400);
    }
  });

  itHere('leaves every other host as it is', async () => {
    for (const host of ['api.sandboxes.example.com', 'sandboxes.example.com', 'x.sandboxes.example.com', '127.0.0.1']) {
      const { status, body } = await at(host, '/health');
      expect([status, body.status], host).to.deep.equal([200, 'ok']);
    }
    expect((await at('49983-i0.example.org', '/sandboxes')).status).to.equal(401);
  });

  it('is refused if it is none', () => {
    expect(readConfig({ domain: 'Example.COM:8443' }).domain).to.equal('example.com:8443');
    for (const domain of ['', 'https://example.com', 'a..b', '-a.b', 'a b', 'a:b', '*.example.com']) {
      expect(() => readConfig({ domain }), domain).to.throw('--domain must be a domain');
    }
  });

  it("serves E2B's JavaScript SDK that knows nothing but the domain, over TLS", async () => {
    const domain = 'sandboxes.test';
    const { cert, key: keyFile, ca } = await makeDomainCertificate(domain);
    const flags = ['--tls-cert', cert, '--tls-key', keyFile, '--domain', domain, '--api-key', key];
    const server = await serve([...flags, '--db', `${temporaryDirectory()}/sandpit.db`]);
    const tunnel = await startTunnel(Number(new URL(server.url).port));
    const program = `
      import { Sandbox } from 'e2b';
      const proxy = process.env.PROXY;
      const sandbox = await Sandbox.create({ proxy });
      const found = [await sandbox.isRunning()];
      found.push(await sandbox.commands.run('true').catch(({ message }) => message));
      found.push(sandbox.getHost(3000) === '3000-' + sandbox.sandboxId + '.${domain}');
      await sandbox.kill();
      found.push(await sandbox.isRunning());
      console.log(JSON.stringify(found));
    `;
    const env = {
      PATH: process.env.PATH,
      NODE_EXTRA_CA_CERTS: ca,
      E2B_DOMAIN: domain,
      E2B_API_KEY: key,
      PROXY: tunnel.url,
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { env });
    closeNow(tunnel.server);
    await server.stop();
    const [isRunning, refusal, isHost, isRunningLater] = JSON.parse(stdout);
    expect([isRunning, isHost, isRunningLater]).to.deep.equal([true, true, false]);
    expect(refusal).to.contain('Sandpit keeps the record of sandboxes');
    expect(new Set(tunnel.names.map((name) => name.replace(/-i\w+/, '-id')))).to.include(`api.${domain}:443`);
  });
});
