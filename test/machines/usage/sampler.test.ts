import { Writable } from 'node:stream';
import { expect } from 'chai';
import { createLog } from '../../../app/log/log.ts';
import type { Usage } from '../../../app/machines/driver.ts';
import { startSampler, type Usages } from '../../../app/machines/usage/sampler.ts';
import { addMachine, deleteMachine, markReady } from '../../../db/machines/rows.ts';
import { inTransaction } from '../../../db/store.ts';
import { type Caller, startApp, startTime, type TestApp } from '../../helpers/server.ts';
import { until } from '../images/registry.ts';
import { startMachine, type TestMachine } from '../process/machine.ts';

describe('the sampler of what machines use', () => {
  let app: TestApp;
  let alice: Caller;
  let machine: TestMachine;
  let usages: Usages;
  beforeEach(async () => {
    app = await startApp();
    alice = await app.addUser('alice');
    machine = await startMachine();
  });
  afterEach(() => usages.stop());

  /** Records a machine, which is as real as its readings. */
  const add = async (): Promise<string> => {
    const id = await app.insert(alice, { endAt: null, vcpuCount: 2 });
    const { db } = app.server.context.store;
    await inTransaction(db, async (trx) => {
      await addMachine(trx, app.clock.now, {
        sandboxId: id,
        ownerId: alice.id,
        driver: 'process',
        image: 'x',
        allowsSudo: false,
        runtime: null,
        setup: null,
      });
      await markReady(trx, id);
    });
    return id;
  };
  const start = (usage: (id: string) => Promise<Usage>) => {
    const { store } = app.server.context;
    const log = createLog('silent', new Writable());
    const agentOf = async () => machine.agent;
    const parts = { driver: { usage }, agentOf, store, log, now: () => app.clock.now };
    usages = startSampler({ ...parts, intervalMilliseconds: 1, patienceMilliseconds: 200 });
  };

  it('reads each running machine, and forgets one that has ended', async () => {
    const id = await add();
    app.clock.now = startTime + 10_000;
    start(async () => ({ cpuSeconds: 5, memoryBytes: 7, cacheBytes: 8 }));
    await until(() => usages.between(id, 0, Number.POSITIVE_INFINITY).length > 1);
    const [first, second] = usages.between(id, 0, Number.POSITIVE_INFINITY);
    const { at, memoryBytes, cacheBytes } = first ?? {};
    expect({ at, memoryBytes, cacheBytes }).to.deep.equal({ at: app.clock.now, memoryBytes: 7, cacheBytes: 8 });
    expect(first?.cpuPercent, '5 s of 2 processors in 10 s').to.be.closeTo(25, 1);
    expect(second?.cpuPercent, 'nothing since then').to.equal(0);
    expect(first?.diskTotalBytes).to.be.above(first?.diskUsedBytes ?? 0);
    await deleteMachine(app.server.context.store.db, id);
    await until(() => usages.latest(id) === null);
  });

  it('reads the others while an engine hangs or fails for some', async () => {
    const hanging = await Promise.all(Array.from({ length: 6 }, add));
    const failing = await add();
    const healthy = await add();
    const asked = new Map<string, number>();
    start(async (id) => {
      asked.set(id, (asked.get(id) ?? 0) + 1);
      if (hanging.includes(id)) await new Promise(() => {});
      if (id === failing) throw new Error('no');
      return { cpuSeconds: 1, memoryBytes: 1, cacheBytes: 0 };
    });
    await until(() => usages.between(healthy, 0, Number.POSITIVE_INFINITY).length > 3);
    for (const id of hanging) expect(asked.get(id) ?? 0, 'a machine that hangs is asked once').to.be.at.most(1);
    expect(usages.latest(failing)).to.equal(null);
  });
});
