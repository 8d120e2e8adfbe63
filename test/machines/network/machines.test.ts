import { expect } from 'chai';
import { operations } from '../../../app/machines/agent/agent.ts';
import { frameTypes } from '../../../app/machines/agent/frames.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { MachineError } from '../../../app/machines/error.ts';
import { type EgressRules, noInternet, openNetwork } from '../../../app/machines/network/rules.ts';
import { itHere } from '../../helpers/server.ts';
import { FakeDriver } from '../../lifecycle/fake-driver.ts';
import { startLifecycle } from '../../lifecycle/lifecycle.ts';
import { FakeAgent, hello } from '../agent/fake-agent.ts';

const refusal = Buffer.from([8, 2, 0, 0, 0, 0x6e, 0x6f]);

/** A driver whose agents enforce rules. `policies` has what each was told, as the wire has it. */
class Enforcing extends FakeDriver {
  restrict?: Driver['restrict'];
  readonly policies: string[] = [];
  /** what agents answer; null: nothing */
  answer: [type: number, payload: Buffer] | null = [frameTypes.done, Buffer.alloc(0)];

  constructor() {
    super(['pause', 'snapshot', 'egress']);
    this.behaviour.channel = async (id) => {
      if (!this.machines.has(id)) throw new Error('there is no such machine');
      const agent = new FakeAgent();
      agent.syncs = true;
      agent.send(0, frameTypes.hello, hello());
      void this.#serve(agent);
      return agent.channel;
    };
  }

  async #serve(agent: FakeAgent): Promise<void> {
    for (;;) {
      const { call, payload } = await agent.take(frameTypes.open);
      if (payload[0] !== operations.network) continue;
      this.policies.push(payload.toString('latin1'));
      if (this.answer) agent.send(call, ...this.answer);
    }
  }
}

/** IPv4's 20.0.0.0/8 in the arguments of NETWORK, with a verdict before it. */
const twenty = (verdict: 1 | 2) => String.fromCharCode(verdict, 4, 20, 0, 0, 0, 8);

describe('the network rules of machines', () => {
  itHere('are in force before a create answers, and in every machine that is made from another', async () => {
    const { driver, e2b } = await startLifecycle(new Enforcing());
    const { policies } = driver as Enforcing;
    const network = { allowOut: ['20.0.0.0/8'], denyOut: ['0.0.0.0/0'], dnsServers: ['10.0.0.53'] };
    const id = await e2b.create({ network });
    expect(driver.specs[0]?.network).to.deep.equal({
      ...openNetwork,
      allow: network.allowOut,
      deny: network.denyOut,
      dnsServers: network.dnsServers,
    });
    expect(policies.map((each) => each.includes(twenty(1)))).to.deep.equal([true]);
    const { snapshotID } = (await e2b.post(`/sandboxes/${id}/snapshots`, {})).body;
    await e2b.post(`/sandboxes/${id}/fork`, { count: 2 });
    await e2b.create({ templateID: snapshotID });
    expect(policies.map((each) => each.includes(twenty(1)))).to.deep.equal([true, true, true, false]);
  });

  itHere('change while it runs, and when it is resumed if it was paused; the record has them either way', async () => {
    const { driver, e2b } = await startLifecycle(new Enforcing());
    const { policies } = driver as Enforcing;
    const id = await e2b.create();
    const put = async (rules: object) => (await e2b.put(`/sandboxes/${id}/network`, rules)).status;
    expect(await put({ denyOut: ['20.0.0.0/8'] })).to.equal(204);
    expect(policies.map((each) => each.includes(twenty(2)))).to.deep.equal([false, true]);
    await e2b.does(id, 'pause');
    expect(await put({ allow_internet_access: false, allowOut: ['20.0.0.0/8'] })).to.equal(204);
    expect(policies).to.have.length(2);
    await e2b.does(id, 'connect', { timeout: 60 });
    expect(policies.slice(2).map((each) => each.includes(twenty(1)))).to.include(true);
    expect((await e2b.read(id)).network).to.deep.equal({ allowOut: ['20.0.0.0/8'] });
    await e2b.does(id, 'pause', { memory: false });
    const before = policies.length;
    await e2b.does(id, 'connect', { timeout: 60 });
    expect(policies.slice(before).map((each) => each.includes(twenty(1)))).to.deep.equal([true]);
  });

  itHere('501, 504: cannot be set: nothing is started or changed; what no machine can do is refused', async () => {
    const { driver, e2b, rows } = await startLifecycle(new Enforcing());
    const enforcing = driver as Enforcing;
    const id = await e2b.create();
    enforcing.answer = [frameTypes.error, refusal];
    const created = await e2b.post('/sandboxes', { templateID: 'base' });
    expect([created.status, created.body.message]).to.satisfy(
      ([status, words]: [number, string]) =>
        status === 501 && /private addresses.*--network-rules off.*: no$/.test(words),
    );
    const changed = await e2b.put(`/sandboxes/${id}/network`, { denyOut: ['1.1.1.1'] });
    expect([changed.status, (await e2b.read(id)).network]).to.deep.equal([501, undefined]);
    for (const [members, words] of [
      [{ allowOut: ['example.com'], denyOut: ['0.0.0.0/0'] }, /^network\.allowOut takes no domains/],
      [{ rules: { 'example.com': [{}] } }, /^network\.rules/],
      [{ egressProxy: { address: 'proxy:1080' } }, /^network\.rules and network\.egressProxy/],
    ] as const) {
      const answers = [
        await e2b.post('/sandboxes', { templateID: 'base', network: members }),
        await e2b.put(`/sandboxes/${id}/network`, members),
      ];
      for (const { status, body } of answers) expect([status, words.test(body.message)]).to.deep.equal([501, true]);
    }
    expect((await rows()).filter((row) => row.is_ready)).to.have.length(1);
    enforcing.restrict = async () => {
      throw new MachineError('timeout', 'too slow');
    };
    expect((await e2b.put(`/sandboxes/${id}/network`, {})).status).to.equal(504);
    const asked: [string, EgressRules][] = [];
    enforcing.restrict = async (...call) => void asked.push(call);
    expect((await e2b.put(`/sandboxes/${id}/network`, { allow_internet_access: false })).status).to.equal(204);
    await e2b.does(id, 'pause');
    expect((await e2b.put(`/sandboxes/${id}/network`, {})).status).to.equal(204);
    expect(asked).to.deep.equal([
      [id, noInternet],
      [id, openNetwork],
    ]);
  });
});
