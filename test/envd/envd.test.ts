import { expect } from 'chai';
import { anyId, useE2b } from '../helpers/clients/e2b-client.ts';

const unimplemented = 'Sandpit keeps the record of sandboxes and runs no machines: there are no commands and no files';
const services = ['/process.Process', '/filesystem.Filesystem'];

describe("E2B's calls to the inside of a sandbox", () => {
  const { app, e2b, bobs } = useE2b();

  const of = (id: string) => ({ 'E2b-Sandbox-Id': id, 'E2b-Sandbox-Port': '49983' });
  const notRunning = (id: string) => ({ sandboxId: id, message: 'The sandbox was not found', code: 502 });
  const health = (id: string) => app.http.get('/health').set(of(id));
  /** Calls without a credential, most with an invalid body. */
  const calls = (headers: Record<string, string>) => [
    ...services.map((service) => app.http.post(`${service}/Any`).set(headers).type('json').send('{"a":')),
    app.http.post('/code-interpreter/execute').set(headers).send({ code: '' }),
    app.http.delete('/code-interpreter/contexts/a').set(headers),
    app.http
      .post('/files?path=a')
      .set(headers)
      .type('application/octet-stream')
      .send(Buffer.alloc(3) as never),
    app.http.post('/files/compose').set(headers).type('json').send('{"a":'),
    app.http.post('/files').set(headers).attach('file', Buffer.alloc(3), 'a'),
    app.http.get('/files?path=a&username=user&signature=v1_x').set(headers),
  ];

  it('GET /health 204: a running sandbox of any owner; 502: a paused, ended, expired or unknown one', async () => {
    const [id, autoPaused] = [await e2b.create({ timeout: 20 }), await bobs.create({ autoPause: true, timeout: 20 })];
    for (const runs of [id, autoPaused]) {
      const { status, text, headers } = await health(runs);
      expect([status, text, headers['content-type']]).to.deep.equal([204, '', undefined]);
    }
    const killed = await e2b.create();
    await e2b.remove(`/sandboxes/${killed}`);
    const paused = await e2b.create();
    await e2b.does(paused, 'pause');
    app.clock.now += 20_000;
    for (const gone of [id, autoPaused, killed, paused, anyId, 'A B', '']) {
      const { status, body } = await health(gone);
      expect([status, body], gone).to.deep.equal([502, notRunning(gone)]);
    }
    await e2b.does(paused, 'resume');
    expect((await health(paused)).status).to.equal(204);
    expect((await app.http.head('/health').set(of(paused))).status).to.equal(204);
    expect((await app.http.head('/health').set(of(anyId))).status).to.equal(502);
  });

  it('GET /health 200: without the header, the server’s own health', async () => {
    const id = await e2b.create();
    for (let n = 0; n < 2; n++) {
      expect((await app.http.get('/health')).body).to.deep.equal({ status: 'ok', version: '0.1.0' });
      expect((await health(id)).status).to.equal(204);
      expect((await health(anyId)).status).to.equal(502);
    }
  });

  it('501: every call, whatever its body and credential', async () => {
    const id = await e2b.create();
    for (const headers of [{}, of(id)]) {
      for (const [n, call] of calls(headers).entries()) {
        const { status, body } = await call;
        expect([status, body]).to.deep.equal([501, { code: n < 2 ? 'unimplemented' : 501, message: unimplemented }]);
      }
    }
  });

  it('502: every call to a sandbox that is not running', async () => {
    const paused = await e2b.create();
    await e2b.does(paused, 'pause');
    for (const id of [paused, anyId]) {
      for (const call of calls(of(id))) {
        const { status, body } = await call;
        expect([status, body]).to.deep.equal([502, notRunning(id)]);
      }
      const stream = await app.http
        .post('/process.Process/Start')
        .set(of(id))
        .type('application/connect+json')
        .send('{}');
      expect([stream.status, stream.body]).to.deep.equal([502, notRunning(id)]);
    }
  });

  it('200: a stream’s only message is its end, with the code unimplemented', async () => {
    const id = await e2b.create();
    const request = Buffer.from([0, 0, 0, 0, 2, 123, 125]);
    const message = Buffer.from(JSON.stringify({ error: { code: 'unimplemented', message: unimplemented } }));
    for (const service of services) {
      for (const [type, answered] of [
        ['application/connect+json', 'application/connect+json'],
        ['application/connect+proto', 'application/connect+proto'],
        ['application/connect+json; charset=utf-8', 'application/connect+json'],
      ] as const) {
        const { status, headers, body } = await app.http
          .post(`${service}/Start`)
          .set({ ...of(id), 'Connect-Protocol-Version': '1', 'Keepalive-Ping-Interval': '50' })
          .type(type)
          .buffer(true)
          .parse((res, done) => {
            const chunks: Buffer[] = [];
            res.on('data', (chunk: Buffer) => chunks.push(chunk));
            res.on('end', () => done(null, Buffer.concat(chunks)));
          })
          .send(request as never);
        expect([status, headers['content-type']]).to.deep.equal([200, answered]);
        expect([...body.subarray(0, 5)]).to.deep.equal([2, 0, 0, 0, message.length]);
        expect(body.subarray(5).toString()).to.equal(message.toString());
      }
    }
  });

  it('501: what a sandbox uses; 404 without a sandbox, as before a reading', async () => {
    const metrics = (headers: Record<string, string>) => app.http.get('/metrics').set(headers);
    const { status, body } = await metrics(of(await e2b.create()));
    expect([status, body]).to.deep.equal([501, { code: 501, message: unimplemented }]);
    expect((await metrics(of(anyId))).status).to.equal(502);
    expect((await metrics({})).status).to.equal(404);
  });

  it('501: a call of another media type than a stream’s', async () => {
    for (const type of ['application/json', 'application/proto', 'text/plain', 'application/connectjson']) {
      const { status, body } = await app.http.post('/process.Process/List').type(type).send('{}');
      expect([status, body.code], type).to.deep.equal([501, 'unimplemented']);
    }
    const { status, body } = await app.http.post('/process.Process/List');
    expect([status, body.code]).to.deep.equal([501, 'unimplemented']);
  });
});
