import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { type AllowedNetworks, readNetworks } from '../app/networks.ts';
import { AddressRefused, guardedLookup, requireReachable } from '../app/webhooks/address.ts';
import { afterAttempt } from '../app/webhooks/retry.ts';
import { operations } from './contract.ts';
import { apiKey, type Caller, itHere, startApp, startTime, type TestApp } from './helpers.ts';

type Message = { headers: Record<string, string>; body: string; payload: { type: string; data: { subject: string } } };
type Answer = (res: ServerResponse, message: Message) => void;

/** A receiver of webhooks: keeps what comes and answers as told. */
class Receiver {
  readonly server: Server;
  readonly messages: Message[] = [];
  answer: Answer = (res) => res.writeHead(204).end();
  #waiting: (() => void)[] = [];

  constructor() {
    this.server = createServer((req, res) => void this.#take(req, res)).listen(0, '127.0.0.1');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  /** Resolves once so many have come. */
  async received(count: number): Promise<Message[]> {
    while (this.messages.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.messages;
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await text(req);
    const message = { headers: req.headers as Record<string, string>, body, payload: JSON.parse(body) };
    this.messages.push(message);
    this.answer(res, message);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const local = { webhookAllow: readNetworks('127.0.0.0/8') };
const second = 1000;

describe('webhooks', () => {
  let app: TestApp;
  let alice: Caller;
  let receiver: Receiver;
  beforeEach(async () => {
    app = await startApp(local);
    alice = await app.addUser('alice');
    receiver = new Receiver();
    await once(receiver.server, 'listening');
  });
  afterEach(() => {
    receiver.server.close();
    receiver.server.closeAllConnections();
  });

  const ask = (method: 'get' | 'post' | 'patch' | 'delete', path: string, body?: object, caller = alice) => {
    const call = app.http[method](path).set(apiKey(caller));
    return body === undefined ? call : call.send(body);
  };
  const hook = async (body: object = {}) => {
    const { status, body: endpoint } = await ask('post', '/v1/webhooks/endpoints', { url: receiver.url, ...body });
    expect(status, JSON.stringify(endpoint)).to.equal(201);
    return endpoint as { id: string; secret: string };
  };
  const start = async () => (await ask('post', '/v1/vms', {})).body.vm_id as string;
  type Delivery = {
    id: string;
    status: string;
    attempts: number;
    response_status: number | null;
    error: string | null;
  };
  const deliveries = async (query = ''): Promise<Delivery[]> =>
    (await ask('get', `/v1/webhooks/deliveries?${query}`)).body.deliveries;
  /** Asks until the deliveries are as wanted: they are noted after the receiver has answered. */
  const noted = async (isWanted: (all: Delivery[]) => boolean): Promise<Delivery[]> => {
    for (;;) {
      const all = await deliveries();
      if (isWanted(all)) return all;
    }
  };

  it('send each event once, signed as Standard Webhooks has it', async () => {
    const { secret } = await hook({ event_patterns: ['vm.*'] });
    const id = await start();
    await ask('delete', `/v1/vms/${id}`);
    const messages = await receiver.received(2);
    for (const { headers, body } of messages) {
      expect(headers['content-type']).to.equal('application/json');
      // The judge's own clock is the machine's: the time of the message is the test's.
      const timestamp = new Date(Number(headers['webhook-timestamp']) * 1000);
      const signature = new Webhook(secret).sign(headers['webhook-id'] as string, timestamp, body);
      expect(headers['webhook-signature']).to.equal(signature);
      expect(timestamp.getTime()).to.equal(startTime);
    }
    const found = messages.map(({ payload }) => `${payload.type} ${payload.data.subject}`);
    expect(found).to.have.members([`vm.created ${id}`, `vm.killed ${id}`]);
    const { body: page } = await ask('get', '/v1/audit/events?limit=2');
    const ordered = messages.toSorted((a, b) => (a.payload.type < b.payload.type ? 1 : -1));
    expect(ordered.map(({ payload }) => payload.data)).to.deep.equal(page.events);
    const all = await noted((list) => list.every(({ status }) => status === 'succeeded'));
    expect(all.map(({ id: message }) => message)).to.have.members(messages.map(({ headers }) => headers['webhook-id']));
    expect(all.every(({ attempts, response_status: status }) => attempts === 1 && status === 204)).to.equal(true);
  });

  it('send what matches a pattern, to each endpoint of the owner and nobody else', async () => {
    await hook({ event_patterns: ['vm.killed', 'snapshot.*'] });
    const other = await hook({ event_patterns: ['vm.created'] });
    const bob = await app.addUser('bob');
    await ask('post', '/v1/vms', {}, bob);
    const id = await start();
    await ask('post', `/v1/vms/${id}/snapshot`, {});
    await ask('delete', `/v1/vms/${id}`);
    const messages = await receiver.received(3);
    const types = messages.map(({ payload }) => payload.type);
    expect(types).to.have.members(['vm.created', 'snapshot.created', 'vm.killed']);
    const [only, ...others] = await deliveries(`endpoint_id=${other.id}`);
    expect([only, others]).to.satisfy(
      ([one, rest]: [{ kind: string }, []]) => one.kind === 'vm.created' && !rest.length,
    );
  });

  it('try again as the schedule says, with the same id, until it is taken', async () => {
    await hook({ event_patterns: ['vm.created'] });
    receiver.answer = (res) => res.writeHead(receiver.messages.length < 3 ? 500 : 200).end();
    await start();
    await receiver.received(1);
    const [first] = await noted(([delivery]) => delivery?.attempts === 1);
    expect(first).to.include({ status: 'pending', response_status: 500, error: null });
    expect(first).to.have.property('next_attempt_at', new Date(startTime + 5 * second).toISOString());
    app.clock.now = startTime + 5 * second;
    await receiver.received(2);
    const [next] = await noted(([delivery]) => delivery?.attempts === 2);
    expect(next).to.have.property('next_attempt_at', new Date(startTime + 305 * second).toISOString());
    app.clock.now = startTime + 305 * second;
    await receiver.received(3);
    await noted(([delivery]) => delivery?.status === 'succeeded');
    expect(new Set(receiver.messages.map(({ headers }) => headers['webhook-id']))).to.have.property('size', 1);
    expect(new Set(receiver.messages.map(({ body }) => body))).to.have.property('size', 1);
  });

  it('give up after ten attempts in three days; wait as long as the receiver asks', () => {
    let now = startTime;
    let attempts = 0;
    for (;;) {
      const { status, nextAttemptAt } = afterAttempt(now, ++attempts, { status: 503, retryAfterSeconds: 1 });
      if (nextAttemptAt === null) {
        expect(status).to.equal('failed');
        break;
      }
      now = nextAttemptAt;
    }
    expect([attempts, (now - startTime) / 3_600_000]).to.satisfy(
      ([n, hours]: number[]) => n === 10 && (hours ?? 0) > 75,
    );
    const asked = afterAttempt(startTime, 1, { status: 429, retryAfterSeconds: 60 });
    expect(asked.nextAttemptAt).to.equal(startTime + 60 * second);
    expect(afterAttempt(startTime, 1, { status: 429, retryAfterSeconds: 10 ** 9 }).nextAttemptAt).to.equal(
      startTime + 86_400 * second,
    );
  });

  it('follow no redirect, and stop where a receiver is gone for good', async () => {
    const { id } = await hook();
    receiver.answer = (res) => res.writeHead(307, { Location: '/elsewhere' }).end();
    await start();
    const [redirected] = await noted(([delivery]) => delivery?.attempts === 1);
    expect(redirected).to.include({ status: 'pending', response_status: 307 });
    expect(receiver.messages).to.have.length(1);
    receiver.answer = (res) => res.writeHead(410).end();
    await start();
    await noted(([delivery]) => delivery?.status === 'failed');
    expect((await ask('get', `/v1/webhooks/endpoints/${id}`)).body.enabled).to.equal(false);
    const { body: log } = await ask('get', '/v1/audit/events?kind=webhook.disabled');
    expect(log.events[0]).to.include({ subject: id });
    expect(log.events[0].actor.via).to.equal('webhooks');
  });

  it('are not sent while they are disabled; enabled again they get what happens from then on', async () => {
    const { id } = await hook({ event_patterns: ['vm.created'] });
    await ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: false, description: 'paused' });
    await start();
    const { body } = await ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: true });
    expect(body).to.include({ enabled: true, description: 'paused' });
    const after = await start();
    const [message] = await receiver.received(1);
    expect(message?.payload.data.subject).to.equal(after);
    expect(await deliveries()).to.have.length(1);
  });

  it('sign with the old secret and the new for a day', async () => {
    const { id, secret } = await hook({ event_patterns: ['snapshot.created'] });
    const { body } = await ask('post', `/v1/webhooks/endpoints/${id}/rotate-secret`);
    expect(body.secret)
      .to.match(/^whsec_/)
      .and.not.equal(secret);
    const signers = async (count: number) => {
      await ask('post', `/v1/webhooks/endpoints/${id}/test`);
      const { headers, body: sent } = (await receiver.received(count)).at(-1) as Message;
      const time = new Date(Number(headers['webhook-timestamp']) * 1000);
      const signed = [secret, body.secret].map((s) => new Webhook(s).sign(headers['webhook-id'] as string, time, sent));
      return signed.map((signature) => headers['webhook-signature']?.split(' ').includes(signature));
    };
    expect(await signers(1)).to.deep.equal([true, true]);
    app.clock.now += 86_400_000;
    expect(await signers(2)).to.deep.equal([false, true]);
    expect((await ask('get', '/v1/webhooks/endpoints')).text).not.to.match(/whsec_|secret/);
    expect(app.log()).not.to.contain('whsec_');
  });

  it('test an endpoint, and send a message again under its id', async () => {
    const { id } = await hook({ event_patterns: ['snapshot.deleted'] });
    const tested = await ask('post', `/v1/webhooks/endpoints/${id}/test`);
    expect([tested.status, tested.body.kind, tested.body.event_id]).to.deep.equal([202, 'webhook.test', null]);
    const [message] = await receiver.received(1);
    expect(message?.payload).to.deep.include({ type: 'webhook.test', data: { endpoint_id: id } });
    await noted(([delivery]) => delivery?.status === 'succeeded');
    const again = await ask('post', `/v1/webhooks/deliveries/${tested.body.id}/resend`);
    expect([again.status, again.body.status]).to.deep.equal([202, 'pending']);
    const [one, two] = await receiver.received(2);
    expect(two?.headers['webhook-id']).to.equal(one?.headers['webhook-id']);
    await noted(([delivery]) => delivery?.status === 'succeeded');
    expect((await ask('get', `/v1/webhooks/deliveries/${tested.body.id}`)).body).to.include({ status: 'succeeded' });
  });

  it('lists what was sent by pages', async () => {
    const { id } = await hook({ event_patterns: ['snapshot.deleted'] });
    for (let n = 0; n < 3; n++) await ask('post', `/v1/webhooks/endpoints/${id}/test`);
    await receiver.received(3);
    const { body: first } = await ask('get', '/v1/webhooks/deliveries?limit=2');
    const { body: last } = await ask('get', `/v1/webhooks/deliveries?limit=2&cursor=${first.next_cursor}`);
    const ids = [...first.deliveries, ...last.deliveries].map((delivery: Delivery) => delivery.id);
    expect([first.deliveries.length, new Set(ids).size, last.next_cursor]).to.deep.equal([2, 3, null]);
    await noted((all) => all.every(({ status }) => status === 'succeeded'));
    expect(await deliveries('status=pending')).to.deep.equal([]);
    for (const query of ['cursor=x', 'status=gone', 'limit=0']) {
      expect((await ask('get', `/v1/webhooks/deliveries?${query}`)).status, query).to.equal(422);
    }
  });

  it('422: URLs that can not be sent to, and kinds that there are not', async () => {
    const wrong: object[] = [
      {},
      { url: 'ftp://example.com/' },
      { url: 'example.com' },
      { url: 'https://user:pass@example.com/' },
      { url: 'http://10.0.0.1/' },
      { url: 'http://169.254.169.254/latest/meta-data' },
      { url: 'http://[::1]/' },
      { url: 'http://[::ffff:10.0.0.1]/' },
      { url: 'http://0/' },
      { url: 'https://example.com/', event_patterns: [] },
      { url: 'https://example.com/', event_patterns: ['vm.kiled'] },
      { url: 'https://example.com/', event_patterns: ['*.created'] },
      { url: 'https://example.com/', owner: 'bob' },
    ];
    for (const body of wrong) {
      expect((await ask('post', '/v1/webhooks/endpoints', body)).status, JSON.stringify(body)).to.equal(422);
    }
    const { id } = await hook();
    const { status, body } = await ask('patch', `/v1/webhooks/endpoints/${id}`, { url: 'http://192.168.0.1/' });
    expect(status).to.equal(422);
    expect(body.detail[0].msg).to.equal(
      'Value error, 192.168.0.1 is not public (private): the operator may allow it with SANDPIT_WEBHOOK_ALLOW',
    );
  });

  it('are refused what is not public by name as well, whatever the name leads to', async () => {
    const { body } = await ask('post', '/v1/webhooks/endpoints', { url: 'http://localhost:9/' });
    expect(body, 'loopback is allowed here').to.have.property('id');
    const refused = await startApp();
    const bob = await refused.addUser('bob');
    const made = await refused.http
      .post('/v1/webhooks/endpoints')
      .set(apiKey(bob))
      .send({ url: 'http://localhost:9/' });
    expect(made.status).to.equal(422);
  });

  it('are no way to reach what is private: every special range is refused unless it is allowed', () => {
    const refused = ['127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0'];
    const six = ['::1', '::', 'fe80::1', 'fc00::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'ff02::1'];
    for (const address of [...refused, '224.0.0.1', '255.255.255.255', ...six]) {
      expect(() => requireReachable(address, []), address).to.throw(/is not public/);
    }
    for (const address of ['93.184.216.34', '2606:2800:220:1::1', '::ffff:93.184.216.34'])
      requireReachable(address, []);
    const allowed = readNetworks('10.0.0.0/8, fd00::/8,127.0.0.1');
    for (const address of ['10.255.0.1', 'fd12::1', '127.0.0.1', '::ffff:10.0.0.1']) requireReachable(address, allowed);
    expect(() => requireReachable('127.0.0.2', allowed)).to.throw(/not public/);
    for (const text of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/8,'])
      expect(() => readNetworks(text), text).to.throw();
  });

  it('are refused what a name leads to when they are sent', async () => {
    const asked = (allowed: AllowedNetworks) =>
      new Promise((resolve) =>
        guardedLookup(allowed)('localhost', { all: true }, (error, found) => resolve(error ?? found)),
      );
    expect(await asked([])).to.be.instanceOf(AddressRefused);
    expect(await asked(readNetworks('127.0.0.0/8,::1'))).to.be.an('array');
  });

  it('404: of another owner, or that are not there', async () => {
    const { id } = await hook({ event_patterns: ['snapshot.created'] });
    const { body: delivery } = await ask('post', `/v1/webhooks/endpoints/${id}/test`);
    const bob = await app.addUser('bob');
    const calls = operations.filter(({ path }) => /\{(endpoint|delivery)_id\}/.test(path));
    expect(calls).to.have.length(7);
    for (const { method, path } of calls) {
      const url = path.replace('{endpoint_id}', id).replace('{delivery_id}', delivery.id);
      const call = method as 'get' | 'post' | 'patch' | 'delete';
      const body = method === 'patch' ? {} : undefined;
      expect((await ask(call, url, body, bob)).status, `${method} ${path}`).to.equal(404);
      expect((await app.http[call](url).send(body)).status, `${method} ${path}`).to.equal(401);
    }
    expect((await ask('get', '/v1/webhooks/endpoints', undefined, bob)).body).to.deep.equal([]);
    expect((await ask('get', '/v1/webhooks/deliveries', undefined, bob)).body.deliveries).to.deep.equal([]);
    for (const path of ['/v1/webhooks/endpoints', '/v1/webhooks/deliveries']) await app.http.get(path).expect(401);
    await app.http.post('/v1/webhooks/endpoints').send({}).expect(401);
  });

  it('409: more endpoints than there may be; 204: one less', async () => {
    const made = [];
    for (let n = 0; n < 50; n++) made.push(await hook({ event_patterns: ['snapshot.created'] }));
    expect((await ask('post', '/v1/webhooks/endpoints', { url: receiver.url })).status).to.equal(409);
    expect((await ask('delete', `/v1/webhooks/endpoints/${made[0]?.id}`)).status).to.equal(204);
    expect((await ask('get', '/v1/webhooks/endpoints')).body).to.have.length(49);
  });

  it('413 and 415: bodies that are too large, or of another type', async () => {
    const { id } = await hook();
    for (const [method, path] of [
      ['post', '/v1/webhooks/endpoints'],
      ['patch', `/v1/webhooks/endpoints/${id}`],
    ] as const) {
      expect((await ask(method, path, { url: 'x'.repeat(2 ** 20) })).status).to.equal(413);
      const text = app.http[method](path).set(apiKey(alice)).type('text/plain').send('x');
      expect((await text).status).to.equal(415);
    }
  });

  it('503: a change while another process keeps the database to itself', async () => {
    const { id } = await hook({ event_patterns: ['snapshot.created'] });
    const { body: delivery } = await ask('post', `/v1/webhooks/endpoints/${id}/test`);
    await noted(([first]) => first?.status === 'succeeded');
    const other = new Database(app.server.context.config.db);
    other.exec('begin immediate');
    const answers = await Promise.all([
      ask('post', '/v1/webhooks/endpoints', { url: receiver.url }),
      ask('patch', `/v1/webhooks/endpoints/${id}`, {}),
      ask('post', `/v1/webhooks/endpoints/${id}/rotate-secret`),
      ask('post', `/v1/webhooks/endpoints/${id}/test`),
      ask('post', `/v1/webhooks/deliveries/${delivery.id}/resend`),
      ask('delete', `/v1/webhooks/endpoints/${id}`),
    ]);
    other.close();
    for (const { status } of answers) expect(status).to.equal(503);
    expect((await ask('get', '/v1/webhooks/endpoints')).body).to.have.length(1);
  });

  itHere('survive a restart: what was under way is sent again under its id, the rest once', async () => {
    const { db } = app.server.context.config;
    await hook({ event_patterns: ['vm.created'] });
    // The first is never answered.
    receiver.answer = (res) => void (receiver.messages.length > 1 && res.writeHead(200).end());
    const first = await start();
    await receiver.received(1);
    await app.close();
    app = await startApp({ ...local, db });
    app.clock.now = startTime;
    await receiver.received(2);
    const second = await start();
    const messages = await receiver.received(3);
    expect(messages.map(({ payload }) => payload.data.subject)).to.deep.equal([first, first, second]);
    expect(messages[1]?.headers['webhook-id']).to.equal(messages[0]?.headers['webhook-id']);
    const all = await noted((list) => list.every(({ status }) => status === 'succeeded'));
    expect(all.map(({ attempts }) => attempts)).to.deep.equal([1, 1]);
  });

  it('one slow receiver keeps nobody else waiting', async () => {
    const fast = new Receiver();
    await once(fast.server, 'listening');
    receiver.answer = () => {};
    await hook({ event_patterns: ['vm.created'] });
    await hook({ url: fast.url, event_patterns: ['vm.created'] });
    for (let n = 0; n < 10; n++) await start();
    expect(await fast.received(10)).to.have.length(10);
    expect(receiver.messages).to.have.length(4);
    fast.server.close();
    fast.server.closeAllConnections();
  });
});
