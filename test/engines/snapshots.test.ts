import { expect } from 'chai';
import type { Agent } from '../../app/machines/agent/agent.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { failure } from './failure.ts';
import { connect, driverOf, run, soon, specOf, startMachine } from './machine.ts';

const million = 1_000_000;

describeOnEngines('the snapshots of a machine', (engine) => {
  let driver: Driver;
  let agent: Agent;
  beforeEach(async () => {
    driver = driverOf(engine());
    agent = await startMachine(driver, specOf('first', engine()));
  });
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    for (const { ref } of await driver.snapshots()) await driver.removeSnapshot(ref);
    await driver.close();
  });

  const sizeOf = async () => (await driver.image(engine().image))?.sizeBytes as number;
  const copyOf = (ref: string, id = 'copy') => specOf(id, engine(), { image: ref, isSnapshot: true });
  const imageCount = async () => ((await engine().ask('GET', '/images/json?all=1')) as unknown[]).length;

  it('hold its files of that moment, and leave it running', async () => {
    await run(
      agent,
      'head -c 3000000 /dev/urandom > ~/file; echo then > ~/when; sync; cat < /dev/zero > /dev/null 2>&1 &',
    );
    const { ref, sizeBytes } = await driver.snapshot('first', 'Kept-1', soon());
    expect(sizeBytes).to.be.within(3 * million, 4 * million);
    expect(sizeBytes).to.be.below(await sizeOf());
    expect(await driver.list()).to.deep.equal([{ id: 'first', state: 'running' }]);
    await run(agent, 'echo later > ~/when');
    const copy = await startMachine(driver, copyOf(ref));
    const seen = 'cat ~/when; stat -c %s ~/file; echo $HOSTNAME $(< /etc/hostname); pgrep -c cat; ls /opt/sandpit';
    expect((await run(copy, seen)).output).to.equal('then\n3000000\ncopy copy\n0\nagent\n');
    expect((await run(agent, 'pgrep -c cat')).output).to.equal('1\n');
  });

  it('stay while a machine uses them, and are removed after that', async () => {
    const { ref } = await driver.snapshot('first', 'used', soon());
    expect(await driver.snapshots()).to.deep.equal([{ ref, isUsed: false }]);
    await driver.create(copyOf(ref), soon());
    await driver.stop('copy');
    expect(await driver.snapshots()).to.deep.equal([{ ref, isUsed: true }]);
    expect(await failure(driver.removeSnapshot(ref))).to.equal('failed');
    await driver.remove('copy');
    await driver.removeSnapshot(ref);
    await driver.removeSnapshot(ref);
    expect(await driver.snapshots()).to.deep.equal([]);
    expect(await failure(driver.create(copyOf(ref), soon()))).to.equal('no_image');
  });

  it('start machines when the snapshot that they are based on is removed', async () => {
    const before = await imageCount();
    await run(agent, 'echo one > ~/one; sync');
    const base = await driver.snapshot('first', 'base', soon());
    await run(await startMachine(driver, copyOf(base.ref)), 'echo two > ~/two; sync');
    const derived = await driver.snapshot('copy', 'derived', soon());
    await driver.remove('copy');
    expect(await driver.snapshots()).to.have.deep.members([
      { ref: base.ref, isUsed: true },
      { ref: derived.ref, isUsed: false },
    ]);
    await driver.removeSnapshot(base.ref);
    const copy = await startMachine(driver, copyOf(derived.ref));
    expect((await run(copy, 'cat ~/one ~/two')).output).to.equal('one\ntwo\n');
    await driver.remove('copy');
    await driver.removeSnapshot(derived.ref);
    expect(await imageCount()).to.equal(before);
  });

  it('belong to one database, and make nobody else’s container one of its machines', async () => {
    const { ref } = await driver.snapshot('first', 'mine', soon());
    const other = driverOf(engine());
    expect(await other.snapshots()).to.deep.equal([]);
    await other.close();
    const { Config } = (await engine().ask('GET', `/images/${ref}/json`)) as { Config: { Labels: object } };
    expect(Config.Labels).to.include({ 'dev.sandpit.instance': '', 'dev.sandpit.sandbox': '' });
  });

  it('leave nothing behind when they are given up', async () => {
    for (const milliseconds of [0, 5, 50]) {
      const name = `given-up-${milliseconds}`;
      const result = await failure(driver.snapshot('first', name, AbortSignal.timeout(milliseconds)));
      // A fast engine may have been done.
      if (result === null) await driver.removeSnapshot((await driver.snapshots())[0]?.ref as string);
      else expect(result).to.equal('timeout');
      expect(await driver.snapshots()).to.deep.equal([]);
    }
    expect(await driver.list()).to.deep.equal([{ id: 'first', state: 'running' }]);
    expect(await failure(driver.snapshot('first', 'not/possible', soon()))).to.equal('unsupported');
    expect(await failure(driver.snapshot('missing', 'name', soon()))).to.equal('gone');
  });

  it('do no harm when the engine ends while it takes one', async () => {
    await run(agent, 'head -c 40000000 /dev/urandom > ~/file; sync');
    agent.close();
    const taking = failure(driver.snapshot('first', 'cut-off', soon()));
    await engine().restart();
    // A fast engine may have been done.
    expect(await taking).to.be.oneOf(['unavailable', null]);
    await driver.resume('first', soon());
    expect(await driver.list()).to.deep.equal([{ id: 'first', state: 'running' }]);
    const again = await connect(driver, 'first');
    expect((await run(again, 'stat -c %s ~/file')).output).to.equal('40000000\n');
    await driver.snapshot('first', 'whole', soon());
  });
});

describeOnEngines('the forks of a machine', (engine) => {
  let driver: Driver;
  let agent: Agent;
  beforeEach(async () => {
    driver = driverOf(engine());
    agent = await startMachine(driver, specOf('parent', engine()));
  });
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    for (const { ref } of await driver.snapshots()) await driver.removeSnapshot(ref);
    await driver.close();
  });

  it('have its files; one that can not be started stops no other', async () => {
    await run(agent, 'echo here > ~/file; sync');
    const ids = ['one', 'not/possible', 'two', 'three', 'four'];
    const results = await driver.fork(
      'parent',
      ids.map((id) => specOf(id, engine())),
      soon(),
    );
    expect(results.map((error) => error?.code ?? null)).to.deep.equal([null, 'unsupported', null, null, null]);
    for (const id of ['parent', 'four'])
      expect((await run(await connect(driver, id), 'cat ~/file')).output).to.equal('here\n');
    expect((await driver.list()).map(({ id }) => id)).to.have.members(['parent', 'one', 'two', 'three', 'four']);
    const [left, ...others] = await driver.snapshots();
    expect([left?.isUsed, others]).to.deep.equal([true, []]);
    for (const id of ['one', 'two', 'three', 'four']) await driver.remove(id);
    expect(await driver.snapshots()).to.deep.equal([{ ref: left?.ref, isUsed: false }]);
    await driver.removeSnapshot(left?.ref as string);
    expect(await driver.snapshots()).to.deep.equal([]);
  });

  it('are refused, and leave nothing behind, when none can be started', async () => {
    const impossible = ['a/b', 'c/d'].map((id) => specOf(id, engine()));
    expect(await failure(driver.fork('parent', impossible, soon()))).to.equal('unsupported');
    expect(await failure(driver.fork('parent', [specOf('late', engine())], AbortSignal.abort()))).to.equal('timeout');
    expect(await failure(driver.fork('missing', [specOf('one', engine())], soon()))).to.equal('gone');
    expect(await driver.snapshots()).to.deep.equal([]);
    expect(await driver.list()).to.deep.equal([{ id: 'parent', state: 'running' }]);
  });
});
