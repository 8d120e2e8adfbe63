import Database from 'better-sqlite3';
import { expect } from 'chai';
import { type Networks, networks } from '../../app/config/network-readers.ts';
import { AddressRefused, guardedLookup, requireReachable } from '../../app/webhooks/request/address.ts';
import { type Delivery, useHooks } from '../helpers/clients/webhook-client.ts';
import { operations } from '../helpers/contract.ts';
import { apiKey, startApp } from '../helpers/server.ts';

describe('webhook endpoints and deliveries', () => {
  const hooks = useHooks();

  it('lists deliveries by page', async () => {
    const { id } = await hooks().hook({ event_patterns: ['snapshot.deleted'] });
    for (let n = 0; n < 3; n++) await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    await hooks().receiver.received(3);
    const { body: first } = await hooks().ask('get', '/v1/webhooks/deliveries?limit=2');
    const { body: last } = await hooks().ask('get', `/v1/webhooks/deliveries?limit=2&cursor=${first.next_cursor}`);
    const ids = [...first.deliveries, ...last.deliveries].map((delivery: Delivery) => delivery.id);
    expect([first.deliveries.length, new Set(ids).size, last.next_cursor]).to.deep.equal([2, 3, null]);
    await hooks().noted((all) => all.every(({ status }) => status === 'succeeded'));
    expect(await hooks().deliveries('status=pending')).to.deep.equal([]);
    for (const query of ['cursor=x', 'status=gone', 'limit=0']) {
      expect((await hooks().ask('get', `/v1/webhooks/deliveries?${query}`)).status, query).to.equal(422);
    }
  });

  it('422: invalid URLs and unknown event kinds', async () => {
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
      expect((await hooks().ask('post', '/v1/webhooks/endpoints', body)).status, JSON.stringify(body)).to.equal(422);
    }
    const many = { url: 'https://example.com/', event_patterns: Array(51).fill('vm.*') };
    expect((await hooks().ask('post', '/v1/webhooks/endpoints', many)).body.detail[0]).to.deep.include({
      type: 'too_long',
      loc: ['body', 'event_patterns'],
      msg: 'List should have at most 50 items after validation, not 51',
      ctx: { field_type: 'List', max_length: 50, actual_length: 51 },
    });
    const { id } = await hooks().hook();
    const { status, body } = await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { url: 'http://192.168.0.1/' });
    expect(status).to.equal(422);
    expect(body.detail[0].msg).to.equal(
      'Value error, its address is not public: the operator may allow it with SANDPIT_WEBHOOK_ALLOW',
    );
  });

  it('refuses local host names, whatever they resolve to', async () => {
    const { body } = await hooks().ask('post', '/v1/webhooks/endpoints', { url: 'http://localhost:9/' });
    expect(body, 'loopback is allowed here').to.have.property('id');
    const refused = await startApp();
    const bob = await refused.addUser('bob');
    const made = await refused.http
      .post('/v1/webhooks/endpoints')
      .set(apiKey(bob))
      .send({ url: 'http://localhost:9/' });
    expect(made.status).to.equal(422);
  });

  it('refuses every special address range unless it is allowed', () => {
    const refused = ['127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0'];
    const six = [
      '::1',
      '::',
      'fe80::1',
      'fc00::1',
      '::ffff:127.0.0.1',
      '::ffff:168.63.129.16',
      '64:ff9b::7f00:1',
      '::127.0.0.1',
      '2002:7f00:1::',
      'ff02::1',
      '100:0:0:1::1',
      '::5efe:7f00:1',
      '4000::1',
      'fe00::1',
    ];
    for (const address of [...refused, '224.0.0.1', '255.255.255.255', '168.63.129.16', ...six]) {
      expect(() => requireReachable(address, []), address).to.throw(/is not public/);
    }
    for (const address of ['93.184.216.34', '168.63.129.17', '2000::1', '2606:2800:220:1::1', '::ffff:93.184.216.34'])
      requireReachable(address, []);
    requireReachable('168.63.129.16', networks('168.63.129.16'));
    const allowed = networks('10.0.0.0/8, fd00::/8,127.0.0.1');
    for (const address of ['10.255.0.1', 'fd12::1', '127.0.0.1', '::ffff:10.0.0.1']) requireReachable(address, allowed);
    expect(() => requireReachable('127.0.0.2', allowed)).to.throw(/not public/);
    for (const text of ['', 'localhost', '8', '10.0.0.0/33', '10.0.0.0/8,', '::ffff:10.0.0.0/104'])
      expect(() => networks(text), text).to.throw();
  });

  it('checks the address that a name resolves to at each sending', async () => {
    const asked = (allowed: Networks) =>
      new Promise((resolve) =>
        guardedLookup(allowed)('localhost', { all: true }, (error, found) => resolve(error ?? found)),
      );
    expect(await asked([])).to.be.instanceOf(AddressRefused);
    expect(await asked(networks('127.0.0.0/8,::1'))).to.be.an('array');
  });

  it("404: another owner's endpoint, or an unknown one", async () => {
    const { id } = await hooks().hook({ event_patterns: ['snapshot.created'] });
    const { body: delivery } = await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    const bob = await hooks().app.addUser('bob');
    const calls = operations.filter(({ path }) => /\{(endpoint|delivery)_id\}/.test(path));
    expect(calls).to.have.length(9);
    for (const { method, path } of calls) {
      const url = path.replace('{endpoint_id}', id).replace('{delivery_id}', delivery.id);
      const call = method as 'get' | 'post' | 'patch' | 'delete';
      const body = method === 'patch' ? {} : undefined;
      expect((await hooks().ask(call, url, body, bob)).status, `${method} ${path}`).to.equal(404);
      expect((await hooks().app.http[call](url).send(body)).status, `${method} ${path}`).to.equal(401);
    }
    expect((await hooks().ask('get', '/v1/webhooks/endpoints', undefined, bob)).body).to.deep.equal([]);
    expect((await hooks().ask('get', '/v1/webhooks/deliveries', undefined, bob)).body.deliveries).to.deep.equal([]);
    for (const path of ['/v1/webhooks/endpoints', '/v1/webhooks/deliveries'])
      await hooks().app.http.get(path).expect(401);
    await hooks().app.http.post('/v1/webhooks/endpoints').send({}).expect(401);
  });

  it('409: above the limit of endpoints; 204: deleting one', async () => {
    const made = [];
    for (let n = 0; n < 50; n++) made.push(await hooks().hook({ event_patterns: ['snapshot.created'] }));
    expect((await hooks().ask('post', '/v1/webhooks/endpoints', { url: hooks().receiver.url })).status).to.equal(409);
    expect((await hooks().ask('delete', `/v1/webhooks/endpoints/${made[0]?.id}`)).status).to.equal(204);
    expect((await hooks().ask('get', '/v1/webhooks/endpoints')).body).to.have.length(49);
  });

  it('409: a test or a resend for a disabled endpoint', async () => {
    const { id } = await hooks().hook({ event_patterns: ['snapshot.created'] });
    const { body: delivery } = await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: false });
    for (const path of [`endpoints/${id}/test`, `deliveries/${delivery.id}/resend`]) {
      const { status, body } = await hooks().ask('post', `/v1/webhooks/${path}`);
      expect([status, body.detail]).to.deep.equal([409, 'The webhook endpoint is disabled: enable it first']);
    }
  });

  it('413, 415: bodies that are too large or of another media type', async () => {
    const { id } = await hooks().hook();
    for (const [method, path] of [
      ['post', '/v1/webhooks/endpoints'],
      ['patch', `/v1/webhooks/endpoints/${id}`],
    ] as const) {
      expect((await hooks().ask(method, path, { url: 'x'.repeat(2 ** 20) })).status).to.equal(413);
      const text = hooks().app.http[method](path).set(apiKey(hooks().alice)).type('text/plain').send('x');
      expect((await text).status).to.equal(415);
    }
  });

  it('503: a write while another process holds the write lock', async () => {
    const { id } = await hooks().hook({ event_patterns: ['snapshot.created'] });
    const { body: delivery } = await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    await hooks().noted(([first]) => first?.status === 'succeeded');
    const other = new Database(hooks().app.server.context.config.db);
    other.exec('begin immediate');
    const answers = await Promise.all([
      hooks().ask('post', '/v1/webhooks/endpoints', { url: hooks().receiver.url }),
      hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, {}),
      hooks().ask('post', `/v1/webhooks/endpoints/${id}/rotate-secret`),
      hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`),
      hooks().ask('post', `/v1/webhooks/deliveries/${delivery.id}/resend`),
      hooks().ask('post', `/v1/webhooks/deliveries/${delivery.id}/replay`),
      hooks().ask('delete', `/v1/webhooks/endpoints/${id}`),
    ]);
    other.close();
    for (const { status } of answers) expect(status).to.equal(503);
    expect((await hooks().ask('get', '/v1/webhooks/endpoints')).body).to.have.length(1);
  });
});
