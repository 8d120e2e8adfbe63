import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { type Caller, itHere, startApp, type TestApp } from '../helpers/server.ts';

describe('GET /ready', () => {
  let app: TestApp;
  let alice: Caller;
  beforeEach(async () => {
    app = await startApp({ port: 0 });
    alice = await app.addUser('alice');
  });

  it('200: the store answers', async () => {
    const { status, body } = await app.http.get('/ready');
    expect({ status, body }).to.deep.equal({ status: 200, body: { status: 'ready' } });
  });

  it('200, 503: HEAD returns the same without the body, as on /health', async () => {
    const answers = async (path: string) => {
      const { headers, ...got } = await app.http.get(path);
      const head = await app.http.head(path);
      expect([head.status, head.text ?? ''], path).to.deep.equal([got.status, '']);
      expect(head.headers['content-length'], path).to.equal(headers['content-length']);
      return head.status;
    };
    expect([await answers('/health'), await answers('/ready')]).to.deep.equal([200, 200]);
    app.server.context.store.sqlite.exec("insert into migrations values (999, 'of-the-future', '')");
    expect([await answers('/health'), await answers('/ready')]).to.deep.equal([200, 503]);
  });

  it('503: the schema is of another version', async () => {
    app.server.context.store.sqlite.exec("insert into migrations values (999, 'of-the-future', '')");
    const { status, body } = await app.http.get('/ready');
    const detail = 'The database has the schema of another version';
    expect({ status, body }).to.deep.equal({ status: 503, body: { detail } });
    expect((await app.http.get('/health')).status).to.equal(200);
  });

  itHere('503: the store does not answer', async () => {
    app.server.context.store.sqlite.close();
    const { status, body } = await app.http.get('/ready');
    expect({ status, body }).to.deep.equal({ status: 503, body: { detail: 'The store does not answer' } });
  });

  itHere('503: the server is stopping', async () => {
    const socket = connect(Number(new URL(await app.server.start()).port), '127.0.0.1');
    const key = `X-API-Key: ${alice.key}\r\nContent-Type: application/json`;
    const head = `POST /v1/vms HTTP/1.1\r\nHost: x\r\n${key}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`;
    let received = '';
    socket.on('data', (bytes) => {
      received += bytes;
    });
    socket.write(head);
    await once(socket, 'data');
    expect(received).to.match(/^HTTP\/1\.1 100 Continue/);
    const closed = app.close();
    socket.write('{}GET /ready HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'close');
    await closed;
    expect(received).to.match(/HTTP\/1\.1 201 [\s\S]*HTTP\/1\.1 503 [\s\S]*\{"detail":"The server is stopping"\}$/);
  });
});
