import { createServer as createTlsServer } from 'node:https';
import { expect } from 'chai';
import { E2B } from 'e2b';
import { makeDomainCertificate } from '../helpers/certificate.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { type Machine, startMachine } from '../helpers/clients/machine-client.ts';
import { listen } from '../helpers/listen.ts';
import { usePorts } from './ports.ts';

describe('who reaches ports of a sandbox', () => {
  const { machine, serve, ask } = usePorts();

  const create = async (owner: Machine['owner'], body: object, headers: Record<string, string> = {}) =>
    machine.app.http
      .post('/v2/sandboxes')
      .set({ 'X-API-Key': owner.key, ...headers })
      .send({ templateID: 'base', ...body });
  const at = (id: string, port: number, headers = {}) =>
    ask(port, { headers: { Host: `${port}-${id}.localhost`, ...headers } });

  it('403 without the traffic token of the sandbox, whose program gets neither request nor token', async () => {
    const seen: unknown[] = [];
    const port = await serve((req, res) => {
      seen.push(req.headers['e2b-traffic-access-token']);
      res.end('in');
    });
    const closed = { network: { allowPublicTraffic: false } };
    const { body } = await create(machine.owner, closed);
    const { sandboxID: id, trafficAccessToken: token, envdAccessToken } = body;
    expect(token)
      .to.match(/^[0-9a-f]{64}$/)
      .and.not.equal(envdAccessToken);
    const other = (await create(machine.owner, closed)).body.trafficAccessToken;
    for (const [headers, message] of [
      [{}, "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing"],
      ...[other, envdAccessToken, `${token} `.slice(1), 'x'].map((wrong) => [
        { 'E2b-Traffic-Access-Token': wrong },
        "Sandbox is secured with traffic access token. Provided token in header 'e2b-traffic-access-token' is invalid",
      ]),
    ] as const) {
      const { status, text } = await at(id, port, headers);
      expect([status, JSON.parse(text)]).to.deep.equal([403, { sandboxId: id, message, code: 403 }]);
    }
    expect((await at(id, port, { 'E2b-Traffic-Access-Token': token })).text).to.equal('in');
    expect(seen).to.deep.equal([undefined]);
    const e2b = e2bOf(machine.app, machine.owner);
    expect((await e2b.post(`/sandboxes/${id}/connect`, { timeout: 60 })).body.trafficAccessToken).to.equal(token);
    const [fork] = (await e2b.post(`/sandboxes/${id}/fork`)).body;
    expect(fork.sandbox.trafficAccessToken)
      .to.match(/^[0-9a-f]{64}$/)
      .and.not.equal(token);
    expect((await create(machine.owner, {})).body).not.to.have.property('trafficAccessToken');
  });

  it('a paused sandbox with autoResume is resumed, but not by a wrong token', async () => {
    const port = await serve((_req, res) => res.end('awake'));
    const body = {
      secure: true,
      autoResume: { enabled: true },
      autoPause: true,
      network: { allowPublicTraffic: false },
    };
    const { sandboxID: id, trafficAccessToken: token } = (await create(machine.owner, body)).body;
    const e2b = e2bOf(machine.app, machine.owner);
    await e2b.does(id, 'pause');
    expect((await at(id, port)).status).to.equal(403);
    expect((await e2b.read(id)).state).to.equal('paused');
    expect((await at(id, port, { 'E2b-Traffic-Access-Token': token })).text).to.equal('awake');
    expect((await e2b.read(id)).state).to.equal('running');
    const { sandboxID: resting } = (await create(machine.owner, {})).body;
    await e2b.does(resting, 'pause');
    expect((await at(resting, port)).status).to.equal(502);
  });

  it('a program sees the host that the sandbox asks for', async () => {
    const port = await serve((req, res) => res.end(req.headers.host));
    for (const [maskRequestHost, expected] of [
      [`my.example.com:$${'{PORT}'}`, `my.example.com:${port}`],
      ['plain.example.com', 'plain.example.com'],
      ['', `localhost:${port}`],
    ]) {
      const { body } = await create(machine.owner, { network: { maskRequestHost } });
      expect((await at(body.sandboxID, port)).text).to.equal(expected);
    }
    for (const maskRequestHost of ['a b', 'a\r\nX: y', '$PORT', 'é', 'x'.repeat(256)])
      expect((await create(machine.owner, { network: { maskRequestHost } })).status, maskRequestHost).to.equal(400);
  });

  it('a program that speaks TLS is reached, whatever its certificate', async () => {
    const { cert, key } = await makeDomainCertificate('sandboxes.test');
    const { readFileSync } = await import('node:fs');
    const server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (req, res) =>
      res.end(`${'encrypted' in req.socket} ${req.headers.host}`),
    );
    const port = await listen(server);
    const { body } = await create(machine.owner, { network: { httpsPorts: [port] } });
    for (let n = 0; n < 3; n++) expect((await at(body.sandboxID, port)).text).to.equal(`true localhost:${port}`);
    server.closeAllConnections();
    server.close();
    const plain = await serve((_req, res) => res.end());
    const { body: wrong } = await create(machine.owner, { network: { httpsPorts: [plain] } });
    const { status, text } = await at(wrong.sandboxID, plain);
    expect([status, JSON.parse(text).message]).to.deep.equal([502, 'The program at the port does not speak TLS']);
  });

  it('the domain of a new sandbox leads a client on the same machine here, and no other client elsewhere', async () => {
    for (const [Host, domain] of [
      ['localhost:3000', 'localhost:3000'],
      ['127.0.0.1', 'localhost'],
      ['[::1]:8080', 'localhost:8080'],
      ['10.0.0.1:3000', 'sandpit.invalid'],
      ['sandpit.example.com', 'sandpit.invalid'],
      ['localhost.example.com', 'sandpit.invalid'],
    ] as const) {
      const { body } = await create(machine.owner, {}, { Host });
      expect(body.domain, Host).to.equal(domain);
    }
    const other = await startMachine(machine.app, machine.url);
    const { domain } = await e2bOf(machine.app, other.owner).read(other.id);
    expect(domain).to.match(/^localhost:\d+$/);
  });

  it("E2B's SDK names a port by its host, and signs URLs of files without naming the sandbox", async () => {
    const { url, owner } = machine;
    const { Sandbox } = new E2B({ apiKey: owner.key, apiUrl: url, sandboxUrl: url });
    const sandbox = await Sandbox.create();
    const port = await serve((_req, res) => res.end('named'));
    const host = sandbox.getHost(port);
    expect(host).to.equal(`${port}-${sandbox.sandboxId}.localhost:${new URL(url).port}`);
    expect((await ask(port, { headers: { Host: host } })).text).to.equal('named');
    const uploaded = await fetch(await sandbox.uploadUrl('signed.txt'), { method: 'POST', body: form('by URL') });
    expect(uploaded.status).to.equal(200);
    const address = await sandbox.downloadUrl('signed.txt', { useSignatureExpiration: 60 });
    expect(address).not.to.contain(sandbox.sandboxId);
    expect(await (await fetch(address)).text()).to.equal('by URL');
    const { pathname, search } = new URL(address);
    const byHost = { headers: { Host: sandbox.getHost(49_983) }, path: pathname + search };
    expect((await ask(port, byHost)).text).to.equal('by URL');
  });
});

function form(content: string): FormData {
  const data = new FormData();
  data.set('file', new Blob([content]));
  return data;
}
