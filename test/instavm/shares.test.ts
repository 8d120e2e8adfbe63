import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { listen } from '../helpers/listen.ts';

describe("InstaVM's shares of ports", () => {
  let { app, alice, bob, get, post } = {} as Instavm;
  let [session, vm, base]: string[] = [];
  let port: number;
  const program = createServer((req, res) => {
    // So that a response stays open.
    if (req.url === '/slow') res.write('begun');
    else res.end(`${req.method} ${req.url} ${req.headers.host}`);
  });
  program.on('upgrade', (_req, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  before(async () => {
    port = await listen(program);
  });
  after(() => {
    program.close();
    program.closeAllConnections();
  });
  beforeEach(async () => {
    ({ app, alice, bob, get, post } = await startInstavm({ machines: 'process', port: 0 }));
    base = await app.server.start();
    session = (await app.http.post('/v1/sessions/session').send({ api_key: alice.key })).body.session_id as string;
    vm = (await get(`/v1/sessions/status/${session}`)).body.vm_id as string;
  });

  const local = () => ({ Host: new URL(base as string).host });
  const share = async (body: object = {}, caller = alice) =>
    app.http
      .post('/v1/shares')
      .set({ 'X-API-Key': caller.key, ...local() })
      .send({ port, session_id: session, ...body });
  const change = (id: string, body: object, caller = alice) =>
    app.http
      .patch(`/v1/shares/${id}`)
      .set({ 'X-API-Key': caller.key, ...local() })
      .send(body);
  /** Sends a request to the host of an address, at this server. */
  const visit = async (url: string, headers: Record<string, string> = {}, path = '/a?b') => {
    const asked = request(new URL(path, base), { headers: { Host: new URL(url).host, ...headers }, agent: false });
    const [answer] = (await once(asked.end(), 'response')) as [IncomingMessage];
    return answer;
  };
  const said = async (answer: Promise<IncomingMessage>) => {
    const found = await answer;
    return [found.statusCode, await text(found)];
  };

  it('a public one is open to everyone, under a name that stays', async () => {
    const { status, body } = await share({ is_public: true });
    expect(status).to.equal(201);
    expect(body).to.include({ vm_id: vm, port, is_public: true, status: 'active' });
    expect(body.url).to.equal(`http://${body.share_id}.localhost:${new URL(base as string).port}`);
    expect(await said(visit(body.url))).to.deep.equal([200, `GET /a?b localhost:${port}`]);
    expect((await share({ is_public: true, session_id: null, vm_id: vm })).body.share_id).to.equal(body.share_id);
  });

  it("others need the sandbox's token", async () => {
    const { url, access_token: token, share_id: id } = (await share()).body;
    expect((await visit(url)).statusCode).to.equal(403);
    expect((await visit(url, { 'E2b-Traffic-Access-Token': 'x' })).statusCode).to.equal(403);
    expect((await visit(url, { 'E2b-Traffic-Access-Token': token })).statusCode).to.equal(200);
    expect((await change(id, { is_public: true })).body)
      .to.include({ is_public: true })
      .and.not.to.have.property('access_token');
    expect((await visit(url)).statusCode).to.equal(200);
  });

  it('one that is revoked ends at once, with its connections', async () => {
    const { url, share_id: id } = (await share({ is_public: true })).body;
    const open = await visit(url, {}, '/slow');
    const cut = text(open).then(
      () => 'ended',
      () => 'cut',
    );
    expect((await change(id, { revoke: true })).body.status).to.equal('revoked');
    expect(await cut).to.equal('cut');
    expect((await visit(url)).statusCode).to.equal(404);
    expect((await share()).body.share_id).not.to.equal(id);
  });

  it('revoking one ends a connection that was upgraded', async () => {
    const { url, share_id: id } = (await share({ is_public: true })).body;
    const headers = { Host: new URL(url).host, Connection: 'Upgrade', Upgrade: 'echo' };
    const [, socket] = await once(request(new URL(base as string), { headers }).end(), 'upgrade');
    socket.on('error', () => {});
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).to.equal('hello');
    const closed = once(socket, 'close');
    expect((await change(id, { revoke: true })).body.status).to.equal('revoked');
    await closed;
  });

  it('many requests over one connection add nothing to it', async () => {
    const { url } = (await share({ is_public: true })).body;
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      for (let nth = 0; nth < 20; nth++) {
        const asked = request(new URL('/a', base), { headers: { Host: new URL(url).host }, agent });
        const [answer] = (await once(asked.end(), 'response')) as [IncomingMessage];
        expect(await text(answer)).to.contain('GET /a');
      }
    } finally {
      agent.destroy();
      process.off('warning', warn);
    }
    expect(warnings).to.deep.equal([]);
  });

  it("403: nobody else's, none that is unknown, and none without a sandbox; 422: no such port", async () => {
    expect((await share({}, bob)).body.detail).to.equal(`There is no session ${session}`);
    const { share_id: id } = (await share()).body;
    expect((await change(id, { revoke: true }, bob)).body.detail).to.equal(`There is no share ${id}`);
    expect((await change('s0', { revoke: true })).status).to.equal(403);
    expect((await share({ session_id: null })).body.detail).to.equal('Name the sandbox with vm_id or session_id');
    expect((await share({ port: 0 })).status).to.equal(422);
  });

  it('the address of any port can be asked for', async () => {
    const asked = await get(`/v1/sessions/app-url/${session}?port=${port}`).set(local());
    expect(asked.body).to.include({ vm_id: vm, session_id: session, port, status: 'active' });
    expect(asked.body.app_url)
      .to.equal(asked.body.url)
      .and.to.match(new RegExp(`^http://${port}-${vm}\\.localhost:`));
    expect((await visit(asked.body.url)).statusCode).to.equal(200);
    expect((await get(`/v1/sessions/app-url/${session}`).set(local())).body.port).to.equal(80);
    const far = await get(`/v1/sessions/app-url/${session}`).set('Host', 'sandpit.example.com');
    expect([far.status, far.body.detail]).to.deep.equal([501, far.body.detail]);
    expect(far.body.detail).to.contain('SANDPIT_DOMAIN');
    expect((await get(`/v1/sessions/app-url/${session}`, bob)).status).to.equal(403);
    expect((await get(`/v1/sessions/app-url/${session}?port=0`)).status).to.equal(422);
  });

  it('501 with records only', async () => {
    const records = await startInstavm();
    const answers = [
      await records.post('/v1/shares', { port, vm_id: 'x' }),
      await records.app.http.patch('/v1/shares/s0').set('X-API-Key', records.alice.key).send({}),
      await records.get(`/v1/sessions/app-url/${session}`),
    ];
    for (const { status, body } of answers) expect([status, body.detail]).to.deep.equal([501, answers[0]?.body.detail]);
    expect((await post('/v1/shares', { port, vm_id: 'x' })).status).to.equal(403);
  });
});
