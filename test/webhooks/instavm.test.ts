import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { type Message, useHooks } from '../helpers/clients/webhook-client.ts';
import { apiKey } from '../helpers/server.ts';

/** Checks a message as InstaVM's client does: the key is the whole text of the secret. */
function isSigned({ headers, body }: Message, secret: string): boolean {
  const [, time, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['instavm-signature'] ?? '') ?? [];
  return createHmac('sha256', secret).update(`${time}.${body}`).digest('hex') === signature;
}

describe("webhooks in InstaVM's words", () => {
  const hooks = useHooks();
  const endpoint = (id: string, rest = '') => `/v1/webhooks/endpoints/${id}${rest}`;
  const patch = async (id: string, body: object) => (await hooks().ask('patch', endpoint(id), body).expect(200)).body;

  it('are signed for InstaVM as well, with the newest secret, and carry event_type and vm_id', async () => {
    const { id, secret } = await hooks().hook({ event_patterns: ['vm.created', 'snapshot.created'] });
    const vm = await hooks().start();
    const [first] = await hooks().receiver.received(1);
    expect(isSigned(first as Message, secret)).to.equal(true);
    expect(first?.headers['webhook-signature']).to.match(/^v1,/);
    expect(first?.payload).to.deep.include({ type: 'vm.created', event_type: 'vm.created', vm_id: vm });
    const { secret: next } = (await hooks().ask('post', endpoint(id, '/rotate-secret'))).body;
    await hooks().ask('post', endpoint(id, '/test'));
    const [, second] = await hooks().receiver.received(2);
    expect([secret, next].map((each) => isSigned(second as Message, each))).to.deep.equal([false, true]);
    expect(second?.headers['webhook-signature']).to.match(/^v1,\S+ v1,\S+$/);
    expect(second?.payload).to.deep.include({ event_type: 'webhook.test' }).and.not.have.property('vm_id');
  });

  it('an endpoint shows its status, the end of its secret, its timeout and its retries', async () => {
    const { id, secret } = await hooks().hook();
    const shown = (await hooks().ask('get', endpoint(id))).body;
    expect(shown).to.include({ status: 'active', timeout_seconds: 15, max_retries: 9, format: 'standard' });
    expect(shown.secret_hint).to.equal(`…${secret.slice(-4)}`);
    const changed = await patch(id, { timeout_seconds: 7, max_retries: 0, enabled: false });
    expect(changed).to.include({ status: 'disabled', timeout_seconds: 7, max_retries: 0 });
    expect((await patch(id, { description: 'd' })).timeout_seconds).to.equal(7);
    for (const body of [
      { timeout_seconds: 0 },
      { timeout_seconds: 31 },
      { timeout_seconds: 1.5 },
      { max_retries: -1 },
      { max_retries: 11 },
      { max_retries: '3' },
      { max_retries: null },
    ])
      expect((await hooks().ask('patch', endpoint(id), body)).status, JSON.stringify(body)).to.equal(422);
  });

  it('a failed message is sent again as often as its endpoint says', async () => {
    hooks().receiver.answer = (res) => res.writeHead(500).end();
    const { id } = await hooks().hook({ event_patterns: ['vm.created'], max_retries: 1 });
    await hooks().start();
    await hooks().noted(([first]) => first?.attempts === 1);
    hooks().app.clock.now += 5000;
    const [delivery] = await hooks().noted(([first]) => first?.status === 'failed');
    expect(delivery?.attempts).to.equal(2);
    await patch(id, { max_retries: 0 });
    await hooks().start();
    const [next] = await hooks().noted(([first]) => first?.id !== delivery?.id && first?.status === 'failed');
    expect(next?.attempts).to.equal(1);
  });

  it('an attempt ends when the timeout of its endpoint is over', async () => {
    hooks().receiver.answer = () => {};
    await hooks().hook({ event_patterns: ['vm.created'], timeout_seconds: 1, max_retries: 0 });
    await hooks().start();
    const [delivery] = await hooks().noted(([first]) => first?.status === 'failed');
    expect(delivery?.error).to.equal('no answer within 1 seconds');
  });

  describe('POST /v1/webhooks/endpoints/{endpoint_id}/verify', () => {
    it('asks the receiver before it answers, and records no delivery', async () => {
      const { id, secret } = await hooks().hook({ enabled: false });
      const { status, body } = await hooks().ask('post', endpoint(id, '/verify'));
      expect([status, body]).to.deep.equal([200, { endpoint_id: id, status: 'verified', response_status: 204 }]);
      const [message] = hooks().receiver.messages;
      expect(message?.payload.type).to.equal('webhook.test');
      expect(isSigned(message as Message, secret)).to.equal(true);
      expect(await hooks().deliveries()).to.deep.equal([]);
    });

    it('502 in words: the receiver refuses, does not answer in time, or its address is not public', async () => {
      const { id } = await hooks().hook({ timeout_seconds: 1 });
      const refused = async () => {
        const { status, body } = await hooks().ask('post', endpoint(id, '/verify'));
        expect(status).to.equal(502);
        return body.detail;
      };
      hooks().receiver.answer = (res) => res.writeHead(404).end();
      expect(await refused()).to.equal('The webhook endpoint answered 404: it must answer 2xx');
      hooks().receiver.answer = () => {};
      expect(await refused()).to.match(/could not be verified: no answer within 1 seconds$/);
      await patch(id, { url: 'http://sandpit.invalid/' });
      expect(await refused()).to.match(/could not be verified: /);
    });

    it('429: four of the caller are under way; those of others are not delayed', async () => {
      const { id } = await hooks().hook({ timeout_seconds: 30 });
      const answers: (() => void)[] = [];
      hooks().receiver.answer = (res) => void answers.push(() => res.writeHead(204).end());
      const waiting = Array.from({ length: 4 }, () =>
        hooks()
          .ask('post', endpoint(id, '/verify'))
          .then((it) => it.status),
      );
      await hooks().receiver.received(4);
      const fifth = await hooks().ask('post', endpoint(id, '/verify'));
      expect([fifth.status, fifth.headers['retry-after']]).to.deep.equal([429, '1']);
      for (const answer of answers) answer();
      expect(await Promise.all(waiting)).to.deep.equal([200, 200, 200, 200]);
      hooks().receiver.answer = (res) => res.writeHead(204).end();
      expect((await hooks().ask('post', endpoint(id, '/verify'))).status).to.equal(200);
    });
  });

  it('lists deliveries as items, filtered by delivered and event_type', async () => {
    const { id } = await hooks().hook({ event_patterns: ['vm.created'] });
    await hooks().start();
    await hooks().noted(([first]) => first?.status === 'succeeded');
    await hooks().ask('post', endpoint(id, '/test'));
    await hooks().noted((all) => all.length === 2 && all.every(({ status }) => status === 'succeeded'));
    const { body } = await hooks().ask('get', '/v1/webhooks/deliveries?status=delivered&event_type=vm.created');
    expect(body.deliveries).to.have.length(1);
    expect(body.deliveries[0]).to.include({ status: 'succeeded', event_type: 'vm.created', attempt_count: 1 });
    const { id: delivery, created_at: createdAt } = body.deliveries[0];
    expect(body.items).to.deep.equal([
      {
        id: delivery,
        endpoint_id: id,
        status: 'delivered',
        event_type: 'vm.created',
        attempt_count: 1,
        response_status: 204,
        error: null,
        created_at: createdAt,
      },
    ]);
    expect(await hooks().deliveries('event_type=webhook.test&status=failed')).to.deep.equal([]);
    expect(await hooks().deliveries('event_type=nothing.happened')).to.deep.equal([]);
    expect(await hooks().deliveries('event_type=webhook.test')).to.have.length(1);
  });

  it('/replay sends a message again under its id', async () => {
    const { id } = await hooks().hook({ event_patterns: ['vm.created'] });
    await hooks().start();
    const [delivery] = await hooks().noted(([first]) => first?.status === 'succeeded');
    const path = `/v1/webhooks/deliveries/${delivery?.id}/replay`;
    expect((await hooks().ask('post', path)).status).to.equal(202);
    const messages = await hooks().receiver.received(2);
    expect(new Set(messages.map(({ headers }) => headers['webhook-id']))).to.deep.equal(new Set([delivery?.id]));
    await patch(id, { enabled: false });
    expect((await hooks().ask('post', path)).status).to.equal(409);
    const bob = await hooks().app.addUser('bob');
    expect((await hooks().app.http.post(path).set(apiKey(bob))).status).to.equal(404);
  });
});
