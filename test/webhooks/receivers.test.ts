import { once } from 'node:events';
import { expect } from 'chai';
import { recordEvent } from '../../db/events/record.ts';
import { inTransaction } from '../../db/store.ts';
import { startTestClient } from '../helpers/clients/test-client.ts';
import { Receiver, useHooks } from '../helpers/clients/webhook-client.ts';
import { actor, itHere } from '../helpers/server.ts';

describe('receivers of webhooks', () => {
  const hooks = useHooks();

  it('only the first bytes of a response are read', async () => {
    await hooks().hook({ event_patterns: ['vm.created'] });
    let written = 0;
    hooks().receiver.answer = (res) => {
      const pour = () => {
        while (!res.destroyed && res.write('x'.repeat(65_536))) written += 65_536;
      };
      res.writeHead(200).on('drain', pour);
      pour();
    };
    await hooks().start();
    const [delivery] = await hooks().noted(([first]) => first?.status === 'succeeded');
    expect(delivery).to.include({ response_status: 200, attempts: 1 });
    expect(written).to.be.lessThan(2 ** 26);
  });

  it('an offer of another protocol counts as a failure', async () => {
    await hooks().hook({ event_patterns: ['vm.created'] });
    hooks().receiver.answer = (res) => res.writeHead(101, { Connection: 'Upgrade', Upgrade: 'x' }).end();
    for (let n = 0; n < 5; n++) await hooks().start();
    const all = await hooks().noted((list) => list.length === 5 && list.every(({ attempts }) => attempts === 1));
    for (const delivery of all) expect(delivery).to.include({ status: 'pending', response_status: 101 });
  });

  it("one owner's failures do not delay another owner", async () => {
    const others = new Receiver();
    await once(others.server, 'listening');
    hooks().receiver.answer = () => {};
    for (let n = 0; n < 12; n++) await hooks().hook({ event_patterns: ['vm.created'] });
    for (let n = 0; n < 5; n++) await hooks().start();
    // One for each endpoint and 16 more; none has responded yet.
    await hooks().receiver.received(12 + 16);
    const bob = await hooks().app.addUser('bob');
    await hooks().ask('post', '/v1/webhooks/endpoints', { url: others.url, event_patterns: ['vm.created'] }, bob);
    await hooks().ask('post', '/v1/vms', {}, bob);
    expect(await others.received(1)).to.have.length(1);
    expect(hooks().receiver.messages).to.have.length(12 + 16);
    others.close();
  });

  itHere("one owner's many events do not delay another owner", async () => {
    const others = new Receiver();
    await once(others.server, 'listening');
    const { app, alice } = hooks();
    const { context } = app.server;
    for (let n = 0; n < 3; n++) await hooks().hook();
    const bob = await app.addUser('bob');
    await hooks().ask('post', '/v1/webhooks/endpoints', { url: others.url, event_patterns: ['vm.created'] }, bob);
    const event = { kind: 'vm.updated' as const, subject: 'x', sandboxId: null, details: {} };
    await inTransaction(context.store.db, async (trx) => {
      for (let n = 0; n < 4000; n++) await recordEvent(trx, app.clock.now, actor(alice), event);
    });
    await hooks().ask('post', '/v1/vms', {}, bob);
    await others.received(1);
    others.close();
    const made = context.store.sqlite.prepare("select count(*) from webhook_deliveries where kind = 'vm.updated'");
    expect(made.pluck().get()).to.be.lessThan(3 * 4000);
  });

  it('one slow receiver delays no other', async () => {
    const fast = new Receiver();
    await once(fast.server, 'listening');
    hooks().receiver.answer = () => {};
    await hooks().hook({ event_patterns: ['vm.created'] });
    await hooks().hook({ url: fast.url, event_patterns: ['vm.created'] });
    for (let n = 0; n < 10; n++) await hooks().start();
    expect(await fast.received(10)).to.have.length(10);
    expect(hooks().receiver.messages).to.have.length(4);
    fast.server.close();
    fast.server.closeAllConnections();
  });

  it('receive no earlier events after the reset of a test server', async () => {
    const { call, create, server, steer } = await startTestClient();
    const { receiver } = hooks();
    receiver.answer = () => {};
    const startWatched = async () => {
      await call('POST', '/v1/webhooks/endpoints', { url: receiver.url, event_patterns: ['vm.created'] });
      return create();
    };
    const first = await startWatched();
    await receiver.received(1);
    await steer('reset');
    const second = await startWatched();
    const messages = await receiver.received(2);
    await server.closeStdin();
    expect(messages.map(({ payload }) => payload.data.subject)).to.deep.equal([first, second]);
  });
});
