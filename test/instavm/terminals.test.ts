import { once } from 'node:events';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { until } from '../helpers/until.ts';

/** A client of a terminal, with everything that it has heard. */
class Client {
  output = '';
  texts: string[] = [];
  closed: Promise<[number, string]>;
  readonly #socket: WebSocket;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.#socket = new WebSocket(url, { headers });
    this.#socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.output += data.toString();
      else this.texts.push(data.toString());
    });
    this.closed = new Promise((resolve) => {
      this.#socket.on('close', (code, reason) => resolve([code, reason.toString()]));
    });
  }

  async opened(): Promise<this> {
    await once(this.#socket, 'open');
    return this;
  }

  type(text: string): void {
    this.#socket.send(Buffer.from(text));
  }

  say(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  leave(): void {
    this.#socket.terminate();
  }

  async shows(text: string): Promise<void> {
    await until(`the terminal shows ${text}`, () => this.output.includes(text));
  }
}

describe("InstaVM's terminals", () => {
  let { app, alice, bob, get, post, remove } = {} as Instavm;
  let [session, vm, base]: string[] = [];
  beforeEach(async () => {
    ({ app, alice, bob, get, post, remove } = await startInstavm({ machines: 'process', port: 0 }));
    base = await app.server.start();
    session = (await app.http.post('/v1/sessions/session').send({ api_key: alice.key, env: { OWN: 'x' } })).body
      .session_id;
    vm = (await get(`/v1/sessions/status/${session}`)).body.vm_id;
  });

  const path = () => `/v1/sessions/${session}/pty/sessions`;
  const create = async (body: object = {}, at = path()) => (await post(at, body)).body.session_id as string;
  const join = (id: string, of = `sessions/${session}`, key = alice.key) =>
    new Client(`${base?.replace('http', 'ws')}/v1/${of}/pty/${id}/connect?api_key=${key}`);

  it('carry what is typed and printed, and say how they ended', async () => {
    const id = await create({ shell: '/bin/sh', cols: 100, rows: 30 });
    const client = await join(id).opened();
    client.type('echo a$OWN; stty size\n');
    await client.shows('ax\r\n30 100\r\n');
    client.say({ type: 'resize', cols: 90, rows: 20 });
    client.type('stty size\n');
    await client.shows('20 90\r\n');
    expect((await get(`${path()}/${id}`)).body).to.deep.equal({ session_id: id, alive: true, exit_code: null });
    client.type('exit 3\n');
    expect(await client.closed).to.deep.equal([1000, '']);
    expect(client.texts).to.deep.equal(['{"type":"exit","exit_code":3}']);
    expect((await get(`${path()}/${id}`)).body).to.deep.equal({ session_id: id, alive: false, exit_code: 3 });
  });

  it('run on without a client, and under the paths of the sandbox as well', async () => {
    const id = await create({ command: 'echo begun; read line; echo got $line', id: 'my-own' });
    expect(id).to.equal('my-own');
    const first = await join(id).opened();
    await first.shows('begun');
    first.leave();
    await first.closed;
    const second = await join(id, `vms/${vm}`).opened();
    second.type('this\n');
    await second.shows('got this');
    expect((await second.closed)[0]).to.equal(1000);
  });

  it('lose nothing of what they print before anybody joins', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => create({ shell: '/bin/echo begun' })));
    for (const id of ids) {
      const client = await join(id).opened();
      await client.closed;
      expect(client.output).to.equal('begun\r\n');
    }
  });

  it('are listed, resized and ended', async () => {
    const at = `/v1/vms/${vm}/pty/sessions`;
    const id = await create({ shell: '/bin/sh' }, at);
    const client = await join(id, `vms/${vm}`).opened();
    for (const each of [at, path()]) {
      expect((await get(each)).body.sessions).to.deep.equal([{ session_id: id, alive: true, exit_code: null }]);
      expect((await post(`${each}/${id}/resize`, { cols: 81, rows: 25 })).body).to.deep.equal({ success: true });
      expect((await get(`${each}/${id}`)).body.alive).to.equal(true);
    }
    client.type('stty size\n');
    await client.shows('25 81');
    expect((await remove(`${at}/${id}`)).body).to.deep.equal({ success: true });
    expect((await client.closed)[0]).to.equal(1000);
    expect(client.texts).to.deep.equal(['{"type":"exit","exit_code":-1}']);
    expect((await remove(`${path()}/${id}`)).status).to.equal(200);
    expect((await get(path())).body.sessions).to.deep.equal([]);
  });

  it('refuse in words: a second one of one id, an unknown one, no key, and an unknown sandbox', async () => {
    const id = await create({ shell: '/bin/sh' });
    expect((await post(path())).status).to.equal(201);
    expect((await post(path(), { id })).body.detail).to.equal(`There is a terminal ${id} already`);
    expect((await post(path(), { shell: '/no/such/program' })).status).to.equal(403);
    for (const unknown of [get(`${path()}/nobody`), post(`${path()}/nobody/resize`, { cols: 1, rows: 1 })]) {
      const { status, body } = await unknown;
      expect([status, body.detail]).to.deep.equal([403, 'There is no terminal nobody, or it has ended']);
    }
    for (const at of [path(), `/v1/vms/${vm}/pty/sessions`]) {
      const answers = [
        await get(at, bob),
        await post(at, {}, bob),
        await get(`${at}/${id}`, bob),
        await remove(`${at}/${id}`, bob),
        await post(`${at}/${id}/resize`, { cols: 1, rows: 1 }, bob),
      ];
      expect(answers.map(({ status }) => status)).to.deep.equal([403, 403, 403, 403, 403]);
    }
    expect(await join('nobody').closed).to.deep.equal([4500, 'There is no terminal nobody, or it has ended']);
    expect(await join(id, undefined, 'e2b_none').closed).to.deep.equal([4401, 'The API key is not valid']);
    expect(await join(id, undefined, bob.key).closed).to.deep.equal([4502, `There is no sandbox ${session}`]);
    expect(await join(id, 'vms/nobody').closed).to.deep.equal([4502, 'There is no sandbox nobody']);
    expect((await post(path(), { cols: 0 })).status).to.equal(422);
    expect((await post(`${path()}/${id}/resize`, {})).status).to.equal(422);
  });

  it('a reader that is slow gets everything', async () => {
    const id = await create({ command: 'read go; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done' });
    const client = await join(id).opened();
    client.type('\n');
    await client.closed;
    expect(client.output.trimEnd().endsWith('line 19999')).to.equal(true);
    expect(client.output.match(/line \d+\r\n/g)).to.have.length(20_000);
  });

  it('501 with records only, and their WebSockets are closed with the reason', async () => {
    const records = await startInstavm({ port: 0 });
    base = await records.app.server.start();
    const of = [`/v1/sessions/${session}/pty/sessions`, '/v1/vms/x/pty/sessions'];
    for (const at of of) {
      const answers = [
        await records.get(at),
        await records.post(at),
        await records.get(`${at}/y`),
        await records.remove(`${at}/y`),
        await records.post(`${at}/y/resize`, { cols: 1, rows: 1 }),
      ];
      for (const { status, body } of answers) expect([status, body.detail]).to.deep.equal([501, body.detail]);
    }
    const [code, reason] = await join('y', 'vms/x', records.alice.key).closed;
    expect([code, reason]).to.deep.equal([4500, reason]);
    expect(reason).to.contain('--machines');
  });
});
