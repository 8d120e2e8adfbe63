import { once } from 'node:events';
import { expect } from 'chai';
import { EndpointQueue } from '../../app/webhooks/endpoint-queue.ts';
import { afterAttempt } from '../../app/webhooks/retry.ts';
import { maxSlots, minMilliseconds, type Slot, Slots } from '../../app/webhooks/slots.ts';
import { Receiver, useHooks } from '../helpers/clients/webhook-client.ts';
import { itHere, startTime } from '../helpers/server.ts';

const day = 86_400_000;

describe('webhooks to endpoints that fail', () => {
  const hooks = useHooks();
  const read = async (id: string) => (await hooks().ask('get', `/v1/webhooks/endpoints/${id}`)).body;
  const disabled = async () => (await hooks().ask('get', '/v1/audit/events?kind=webhook.disabled')).body.events;

  it('hanging endpoints delay no other endpoint of the same owner', async () => {
    const { receiver, hook, start } = hooks();
    const hanging = new Receiver();
    await once(hanging.server, 'listening');
    hanging.answer = () => {};
    for (let n = 0; n < 49; n++) await hook({ url: hanging.url, event_patterns: ['vm.created'] });
    await hook({ event_patterns: ['vm.created'] });
    const ids = [];
    for (let n = 0; n < 40; n++) ids.push(await start());
    const messages = await receiver.received(40);
    hanging.close();
    expect(messages.map(({ payload }) => payload.data.subject)).to.have.members(ids);
    expect(hanging.messages).to.have.length.within(49, 49 + 16);
  });

  it('wait until the date in `Retry-After`, a day at most', async () => {
    const { receiver, hook, start, noted } = hooks();
    await hook({ event_patterns: ['vm.created'] });
    const asked = new Date(startTime + 3_600_000);
    receiver.answer = (res) => res.writeHead(503, { 'Retry-After': asked.toUTCString() }).end();
    await start();
    const [delivery] = await noted(([first]) => first?.attempts === 1);
    expect(delivery).to.have.property('next_attempt_at', asked.toISOString());
  });

  it('accept each form of `Retry-After` and nothing else', () => {
    const start = Date.UTC(2030, 0, 1);
    const endpoint = { format: 'standard' as const, maxRetries: 9 };
    const waits = (retryAfter: string) =>
      Number(afterAttempt(start, 1, { status: 429, retryAfter }, endpoint).nextAttemptAt) - start;
    const hour = 3_600_000;
    for (const text of ['Tue, 01 Jan 2030 01:00:00 GMT', 'Tuesday, 01-Jan-30 01:00:00 GMT', 'Tue Jan  1 01:00:00 2030'])
      expect(waits(text), text).to.equal(hour);
    for (const text of ['3600', '86400', '999999999999999999999999'])
      expect(waits(text), text).to.equal(Math.min(Number(text) * 1000, day));
    expect(waits('Thu, 01 Jan 2099 00:00:00 GMT')).to.equal(day);
    const none = ['Tue, 01 Jan 2019 01:00:00 GMT', '', 'soon', '-3600', '1.5', 'Jan 5', '2030-01-01T01:00:00Z'];
    for (const text of none) expect(waits(text), text).to.equal(5000);
  });

  it('are disabled after five days of failures only, and start afresh when enabled', async () => {
    const { app, receiver, hook, start, noted, ask } = hooks();
    const { id } = await hook({ event_patterns: ['vm.created'] });
    const other = await hook({ event_patterns: ['webhook.disabled'] });
    receiver.answer = (res, { payload }) => res.writeHead(payload.type === 'vm.created' ? 500 : 204).end();
    const fail = async (count: number) => {
      await start();
      await noted((all) => all.filter(({ kind, attempts }) => kind === 'vm.created' && attempts > 0).length === count);
    };
    await fail(1);
    expect(await read(id)).to.include({ enabled: true, failing_since: new Date(startTime).toISOString() });
    app.clock.now = startTime + 5 * day - 1;
    await fail(2);
    expect(await read(id)).to.include({ enabled: true });
    app.clock.now = startTime + 5 * day;
    await fail(3);
    expect(await read(id)).to.include({ enabled: false });
    const [event, ...more] = await disabled();
    expect(more).to.deep.equal([]);
    expect(event).to.deep.include({
      subject: id,
      details: { reason: 'failing', failing_since: new Date(startTime).toISOString() },
    });
    expect(event.actor.via).to.equal('webhooks');
    await noted((all) => all.some(({ kind, status }) => kind === 'webhook.disabled' && status === 'succeeded'));
    expect(await read(other.id)).to.include({ enabled: true, failing_since: null });
    const { body: enabled } = await ask('patch', `/v1/webhooks/endpoints/${id}`, { enabled: true });
    expect(enabled).to.include({ enabled: true, failing_since: null });
    await fail(4);
    expect(await read(id)).to.include({ enabled: true, failing_since: new Date(startTime + 5 * day).toISOString() });
  });

  it('a success resets the count of failures', async () => {
    const { app, receiver, hook, start, noted } = hooks();
    const { id } = await hook({ event_patterns: ['vm.created'] });
    const attempt = async (status: number, days: number) => {
      const count = receiver.messages.length + 1;
      receiver.answer = (res) => res.writeHead(status).end();
      app.clock.now = startTime + days * day;
      await start();
      await receiver.received(count);
      await noted((all) => all.every(({ attempts }) => attempts > 0));
    };
    await attempt(400, 0);
    await attempt(204, 3);
    expect(await read(id)).to.include({ enabled: true });
    await attempt(400, 5);
    await attempt(400, 9);
    expect(await read(id)).to.include({ enabled: true });
  });

  itHere(
    'receive one message at a time with a growing backoff while unresponsive, and at full speed after a response',
    async () => {
      const queue = new EndpointQueue('whe_1', 1);
      let now = startTime;
      const error = { error: 'no answer within 15 seconds' };
      queue.pollAt(now);
      expect(queue.available).to.equal(4);
      const backoffs: number[] = [];
      for (let n = 0; n < 9; n++) {
        queue.adapt(now, error, 15_000);
        queue.pollAt(now);
        const before = now;
        while (!queue.isReady(now)) now += 1000;
        backoffs.push((now - before) / 1000);
        expect(queue.available).to.equal(1);
      }
      expect(backoffs).to.deep.equal([0, 5, 10, 20, 40, 80, 160, 300, 300]);
      for (let n = 0; n < 40; n++) queue.adapt(now, { status: 204, retryAfter: null }, 5);
      expect([queue.isReady(now), queue.available]).to.deep.equal([true, 32]);
      queue.adapt(now, { status: 204, retryAfter: null }, 1500);
      expect(queue.available).to.equal(16);
      queue.adapt(now, { status: 429, retryAfter: '60' }, 5);
      expect([queue.isReady(now + 59_000), queue.isReady(now + 60_000)]).to.deep.equal([false, true]);
    },
  );

  it('give their slots to other owners, those of the owner with most first', () => {
    let tick = 0;
    const slots = new Slots(() => tick);
    const evicted: number[] = [];
    const acquired: Slot[] = [];
    const acquire = (ownerId: number) => {
      const slot = { ownerId, evict: () => evicted.push(ownerId) };
      acquired.push(slot);
      return slots.acquire(slot);
    };
    for (let n = 0; n < maxSlots; n++) expect(acquire(n % 100)).to.equal(true);
    expect(acquire(500), 'no attempt is old enough').to.equal(false);
    tick = minMilliseconds;
    // 512 slots: the first twelve owners have six of them.
    expect(acquire(11), 'the owner with most gets none from another').to.equal(false);
    for (let n = 0; n < 5; n++) expect(acquire(500)).to.equal(true);
    expect(evicted).to.deep.equal([0, 1, 2, 3, 4]);
    for (const slot of acquired) slots.release(slot);
    for (let n = 0; n < maxSlots; n++) expect(acquire(7), 'all are free again').to.equal(true);
  });
});

describe('webhooks that include metadata', () => {
  const hooks = useHooks();
  type Data = { metadata?: object | null; metadata_omitted?: boolean };

  it("contain the sandbox's metadata, if requested and not too large", async () => {
    const { receiver, hook, ask } = hooks();
    const plain = new Receiver();
    await once(plain.server, 'listening');
    const patterns = { event_patterns: ['vm.created', 'vm.killed', 'api_key.created'] };
    const { id } = await hook({ ...patterns, include_metadata: true });
    await hook({ ...patterns, url: plain.url });
    const metadata = { team: 'a', deep: { list: [1, null] } };
    const { body: sandbox } = await ask('post', '/v1/vms', { metadata });
    await ask('delete', `/v1/vms/${sandbox.vm_id}`);
    await ask('post', '/v1/vms', { metadata: { large: 'x'.repeat(16_384) } });
    await ask('post', '/v1/api-keys/', {});
    const data = (await receiver.received(4)).map(({ payload }) => payload.data as Data);
    const carried = data.map(({ metadata: found, metadata_omitted: omitted }) => ({ found, omitted }));
    expect(carried).to.have.deep.members([
      { found: metadata, omitted: false },
      { found: metadata, omitted: false },
      { found: null, omitted: true },
      { found: null, omitted: false },
    ]);
    for (const { payload } of await plain.received(4)) expect(payload.data).not.to.have.property('metadata');
    plain.close();
    const { body: changed } = await ask('patch', `/v1/webhooks/endpoints/${id}`, { include_metadata: false });
    expect(changed).to.include({ include_metadata: false });
    await ask('post', '/v1/vms', { metadata });
    const messages = await receiver.received(5);
    expect(messages[4]?.payload.data).not.to.have.property('metadata');
  });
});
