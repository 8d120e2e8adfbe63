import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { prune } from '../../app/jobs/tasks.ts';
import { signedHeaders } from '../../app/webhooks/request/signature.ts';
import { afterAttempt } from '../../app/webhooks/retry.ts';
import { local, type Message, Receiver, useHooks } from '../helpers/clients/webhook-client.ts';
import { serve } from '../helpers/processes/process.ts';
import { itHere, startApp, startTime, temporaryDirectory } from '../helpers/server.ts';

const second = 1000;

/** How an endpoint is retried unless its owner says otherwise. */
const byDefault = { format: 'standard' as const, maxRetries: 9 };

describe('webhooks', () => {
  const hooks = useHooks();

  it('send each event once, signed as Standard Webhooks specifies', async () => {
    const { secret } = await hooks().hook({ event_patterns: ['vm.*'] });
    const id = await hooks().start();
    await hooks().ask('delete', `/v1/vms/${id}`);
    const messages = await hooks().receiver.received(2);
    for (const { headers, body } of messages) {
      expect(headers['content-type']).to.equal('application/json');
      // The verifying library uses the system clock, but the message has the test's time.
      const timestamp = new Date(Number(headers['webhook-timestamp']) * 1000);
      const signature = new Webhook(secret).sign(headers['webhook-id'] as string, timestamp, body);
      expect(headers['webhook-signature']).to.equal(signature);
      expect(timestamp.getTime()).to.equal(startTime);
    }
    const found = messages.map(({ payload }) => `${payload.type} ${payload.data.subject}`);
    expect(found).to.have.members([`vm.created ${id}`, `vm.killed ${id}`]);
    const { body: page } = await hooks().ask('get', '/v1/audit/events?limit=2');
    const ordered = messages.toSorted((a, b) => (a.payload.type < b.payload.type ? 1 : -1));
    expect(ordered.map(({ payload }) => payload.data)).to.deep.equal(page.events);
    const all = await hooks().noted((list) => list.every(({ status }) => status === 'succeeded'));
    expect(all.map(({ id: message }) => message)).to.have.members(messages.map(({ headers }) => headers['webhook-id']));
    expect(all.every(({ attempts, response_status: status }) => attempts === 1 && status === 204)).to.equal(true);
  });

  it("produce the signature of the specification's example", () => {
    const body = '{"event_type":"ping","data":{"success":true}}';
    const secret = 'whsec_plJ3nmyCDGBKInavdOK15jsl';
    const message = { id: 'msg_loFOjxBNrRLzqYUf', attemptId: 'a', endpointId: 'e', body, secrets: [secret] };
    const headers = signedHeaders({ ...message, format: 'standard', time: 1_731_705_121_000 });
    expect(headers['webhook-signature']).to.equal('v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=');
  });

  it('send matching events to each endpoint of the owner and to no other', async () => {
    await hooks().hook({ event_patterns: ['vm.killed', 'snapshot.*'] });
    const other = await hooks().hook({ event_patterns: ['vm.created'] });
    const bob = await hooks().app.addUser('bob');
    await hooks().ask('post', '/v1/vms', {}, bob);
    const id = await hooks().start();
    await hooks().ask('post', `/v1/vms/${id}/snapshot`, {});
    await hooks().ask('delete', `/v1/vms/${id}`);
    const messages = await hooks().receiver.received(3);
    const types = messages.map(({ payload }) => payload.type);
    expect(types).to.have.members(['vm.created', 'snapshot.created', 'vm.killed']);
    const [only, ...others] = await hooks().deliveries(`endpoint_id=${other.id}`);
    expect([only, others]).to.satisfy(
      ([one, rest]: [{ kind: string }, []]) => one.kind === 'vm.created' && !rest.length,
    );
  });

  it('are retried on schedule with the same id until accepted', async () => {
    await hooks().hook({ event_patterns: ['vm.created'] });
    hooks().receiver.answer = (res) => res.writeHead(hooks().receiver.messages.length < 3 ? 500 : 200).end();
    await hooks().start();
    await hooks().receiver.received(1);
    const [first] = await hooks().noted(([delivery]) => delivery?.attempts === 1);
    expect(first).to.include({ status: 'pending', response_status: 500, error: null });
    expect(first).to.have.property('next_attempt_at', new Date(startTime + 5 * second).toISOString());
    hooks().app.clock.now = startTime + 5 * second;
    // A separate process receives the new time with the next request.
    await hooks().deliveries();
    await hooks().receiver.received(2);
    const [next] = await hooks().noted(([delivery]) => delivery?.attempts === 2);
    expect(next).to.have.property('next_attempt_at', new Date(startTime + 305 * second).toISOString());
    hooks().app.clock.now = startTime + 305 * second;
    await hooks().deliveries();
    await hooks().receiver.received(3);
    await hooks().noted(([delivery]) => delivery?.status === 'succeeded');
    expect(new Set(hooks().receiver.messages.map(({ headers }) => headers['webhook-id']))).to.have.property('size', 1);
    expect(new Set(hooks().receiver.messages.map(({ body }) => body))).to.have.property('size', 1);
  });

  it('are given up after ten attempts in three days; honour Retry-After', () => {
    let now = startTime;
    let attempts = 0;
    for (;;) {
      const { status, nextAttemptAt } = afterAttempt(now, ++attempts, { status: 503, retryAfter: '1' }, byDefault);
      if (nextAttemptAt === null) {
        expect(status).to.equal('failed');
        break;
      }
      now = nextAttemptAt;
    }
    expect([attempts, (now - startTime) / 3_600_000]).to.satisfy(
      ([n, hours]: number[]) => n === 10 && (hours ?? 0) > 75,
    );
    const asked = afterAttempt(startTime, 1, { status: 429, retryAfter: '60' }, byDefault);
    expect(asked.nextAttemptAt).to.equal(startTime + 60 * second);
    expect(afterAttempt(startTime, 1, { status: 429, retryAfter: '1000000000' }, byDefault).nextAttemptAt).to.equal(
      startTime + 86_400 * second,
    );
  });

  it('follow no redirect, and stop after a 410', async () => {
    const { id } = await hooks().hook();
    hooks().receiver.answer = (res) => res.writeHead(307, { Location: '/elsewhere' }).end();
    await hooks().start();
    const [redirected] = await hooks().noted(([delivery]) => delivery?.attempts === 1);
    expect(redirected).to.include({ status: 'pending', response_status: 307 });
    expect(hooks().receiver.messages).to.have.length(1);
    hooks().receiver.answer = (res) => res.writeHead(410).end();
    await hooks().start();
    await hooks().noted(([delivery]) => delivery?.status === 'failed');
    expect((await hooks().ask('get', `/v1/webhooks/endpoints/${id}`)).body.enabled).to.equal(false);
    const { body: log } = await hooks().ask('get', '/v1/audit/events?kind=webhook.disabled');
    expect(log.events[0]).to.include({ subject: id });
    expect(log.events[0].actor.via).to.equal('webhooks');
  });

  it('a 410 disables the endpoint that returned it, once, and no other', async () => {
    const { id } = await hooks().hook({ event_patterns: ['vm.created'] });
    const waiting: (() => void)[] = [];
    hooks().receiver.answer = (res) => void waiting.push(() => res.writeHead(410).end());
    for (let n = 0; n < 3; n++) await hooks().start();
    await hooks().receiver.received(3);
    const other = new Receiver();
    await once(other.server, 'listening');
    await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { url: other.url });
    for (const answer of waiting) answer();
    await hooks().noted((all) => all.every(({ status }) => status === 'failed'));
    expect((await hooks().ask('get', `/v1/webhooks/endpoints/${id}`)).body.enabled).to.equal(true);
    await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { url: hooks().receiver.url });
    for (let n = 0; n < 3; n++) await hooks().start();
    await hooks().receiver.received(6);
    for (const answer of waiting.slice(3)) answer();
    await hooks().noted((all) => all.every(({ status }) => status === 'failed'));
    const { body: log } = await hooks().ask('get', '/v1/audit/events?kind=webhook.disabled');
    expect(log.events).to.have.length(1);
    other.close();
  });

  it('are resent at once on request, even during an attempt', async () => {
    await hooks().hook({ event_patterns: ['vm.created'] });
    const waiting: (() => void)[] = [];
    hooks().receiver.answer = (res) => void waiting.push(() => res.writeHead(500).end());
    await hooks().start();
    await hooks().receiver.received(1);
    const [delivery] = await hooks().deliveries();
    await hooks().ask('post', `/v1/webhooks/deliveries/${delivery?.id}/resend`);
    waiting[0]?.();
    const [one, two] = await hooks().receiver.received(2);
    expect(two?.headers['webhook-id']).to.equal(one?.headers['webhook-id']);
  });

  it('are not sent while the endpoint is disabled; after re-enabling it receives new events only', async () => {
    const { id } = await hooks().hook({ event_patterns: ['vm.created'] });
    await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: false, description: 'paused' });
    await hooks().start();
    const { body } = await hooks().ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: true });
    expect(body).to.include({ enabled: true, description: 'paused' });
    const after = await hooks().start();
    const [message] = await hooks().receiver.received(1);
    expect(message?.payload.data.subject).to.equal(after);
    expect(await hooks().deliveries()).to.have.length(1);
  });

  it('sign with the old and the new secret for a day', async () => {
    const { id, secret } = await hooks().hook({ event_patterns: ['snapshot.created'] });
    const rotate = async (): Promise<string> =>
      (await hooks().ask('post', `/v1/webhooks/endpoints/${id}/rotate-secret`)).body.secret;
    const secrets = [secret, await rotate()];
    hooks().app.clock.now += 43_200_000;
    secrets.push(await rotate());
    for (const each of secrets) expect(each).to.match(/^whsec_/);
    const signers = async (count: number) => {
      await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
      const { headers, body: sent } = (await hooks().receiver.received(count)).at(-1) as Message;
      const time = new Date(Number(headers['webhook-timestamp']) * 1000);
      const signed = secrets.map((s) => new Webhook(s).sign(headers['webhook-id'] as string, time, sent));
      return signed.map((signature) => headers['webhook-signature']?.split(' ').includes(signature));
    };
    expect(await signers(1)).to.deep.equal([true, true, true]);
    hooks().app.clock.now += 86_400_000;
    expect(await signers(2)).to.deep.equal([false, false, true]);
    for (let n = 0; n < 9; n++) secrets.push(await rotate());
    expect(await signers(3)).to.deep.equal([false, false, ...Array(10).fill(true)]);
    secrets.push(await rotate());
    expect(await signers(4)).to.deep.equal([false, false, false, ...Array(10).fill(true)]);
    expect((await hooks().ask('get', '/v1/webhooks/endpoints')).text).not.to.match(/whsec_|"secret"/);
    expect(hooks().app.log()).not.to.contain('whsec_');
  });

  it('can test an endpoint, and resend a message under its id', async () => {
    const { id } = await hooks().hook({ event_patterns: ['snapshot.deleted'] });
    const tested = await hooks().ask('post', `/v1/webhooks/endpoints/${id}/test`);
    expect([tested.status, tested.body.kind, tested.body.event_id]).to.deep.equal([202, 'webhook.test', null]);
    const [message] = await hooks().receiver.received(1);
    expect(message?.payload).to.deep.include({ type: 'webhook.test', data: { endpoint_id: id } });
    await hooks().noted(([delivery]) => delivery?.status === 'succeeded');
    const again = await hooks().ask('post', `/v1/webhooks/deliveries/${tested.body.id}/resend`);
    expect([again.status, again.body.status]).to.deep.equal([202, 'pending']);
    const [one, two] = await hooks().receiver.received(2);
    expect(two?.headers['webhook-id']).to.equal(one?.headers['webhook-id']);
    await hooks().noted(([delivery]) => delivery?.status === 'succeeded');
    expect((await hooks().ask('get', `/v1/webhooks/deliveries/${tested.body.id}`)).body).to.include({
      status: 'succeeded',
    });
  });

  itHere('survive a restart: deliveries under way are resent under their id, the others are sent once', async () => {
    const { db } = hooks().app.server.context.config;
    await hooks().hook({ event_patterns: ['vm.created'] });
    // The first attempt never gets a response.
    hooks().receiver.answer = (res) => void (hooks().receiver.messages.length > 1 && res.writeHead(200).end());
    const first = await hooks().start();
    await hooks().receiver.received(1);
    await hooks().app.close();
    hooks().app = await startApp({ ...local, db });
    hooks().app.clock.now = startTime;
    await hooks().receiver.received(2);
    const second = await hooks().start();
    const messages = await hooks().receiver.received(3);
    expect(messages.map(({ payload }) => payload.data.subject)).to.deep.equal([first, first, second]);
    expect(messages[1]?.headers['webhook-id']).to.equal(messages[0]?.headers['webhook-id']);
    const all = await hooks().noted((list) => list.every(({ status }) => status === 'succeeded'));
    expect(all.map(({ attempts }) => attempts)).to.deep.equal([1, 1]);
  });

  itHere('deliveries are kept as long as events, accepted or not', async () => {
    const { app, receiver, hook, start, noted } = hooks();
    await hook({ event_patterns: ['vm.created'] });
    receiver.answer = (res) => res.writeHead(receiver.messages.length > 1 ? 500 : 204).end();
    await start();
    await noted(([delivery]) => delivery?.status === 'succeeded');
    await start();
    await noted(([delivery]) => delivery?.attempts === 1 && delivery.status === 'pending');
    const { context } = app.server;
    context.store.sqlite.exec('update webhook_deliveries set created_at = created_at + 1 where seq = 1');
    context.config.eventRetention = 1000;
    app.clock.now += 1000;
    await prune(context);
    expect(await hooks().deliveries()).to.have.length(2);
    app.clock.now += 1;
    await prune(context);
    expect((await hooks().deliveries()).map(({ status }) => status)).to.deep.equal(['succeeded']);
    app.clock.now += 1;
    await prune(context);
    expect(await hooks().deliveries()).to.deep.equal([]);
  });

  it('a killed server resends what was under way, under the same id', async () => {
    const key = `e2b_${'7'.repeat(40)}`;
    const args = ['--db', join(temporaryDirectory(), 'sandpit.db'), '--webhook-allow', '127.0.0.0/8'];
    const started = () => serve(args, { env: { SANDPIT_API_KEY: key } });
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const first = await started();
    const post = (path: string, body: object) =>
      fetch(`${first.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    hooks().receiver.answer = () => {};
    await post('/v1/webhooks/endpoints', { url: hooks().receiver.url, event_patterns: ['vm.created'] });
    await post('/v1/vms', {});
    await hooks().receiver.received(1);
    await first.stop('SIGKILL');
    hooks().receiver.answer = (res) => res.writeHead(200).end();
    const second = await started();
    const [one, two] = await hooks().receiver.received(2);
    expect(two?.headers['webhook-id']).to.equal(one?.headers['webhook-id']);
    expect(two?.body).to.equal(one?.body);
    await second.stop();
  });
});
