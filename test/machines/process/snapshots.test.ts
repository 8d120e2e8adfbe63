import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { failureOf } from '../agent/failure.ts';
import { createTestDriver, endMachines, machineSpec, patience, run, startMachine } from './machine.ts';

const fromSnapshot = { image: 'one', isSnapshot: true };

describe('snapshots and forks of the process driver', () => {
  afterEach(endMachines);

  it('hold the files of a moment, links as they are, and outlive the machine', async () => {
    const { driver, id, home, agent, directory } = await startMachine();
    const secret = join(directory, 'outside');
    writeFileSync(secret, 'outside');
    mkdirSync(join(home, 'folder'));
    writeFileSync(join(home, 'folder/file'), 'before', { mode: 0o751 });
    symlinkSync(secret, join(home, 'link'));
    symlinkSync('folder', join(home, 'relative'));
    symlinkSync('nowhere', join(home, 'dangling'));
    await run(agent, 'mkfifo pipe');
    expect(await driver.snapshot(id, 'one', patience())).to.deep.equal({ ref: 'one', sizeBytes: 6 });
    writeFileSync(join(home, 'folder/file'), 'after');
    expect((await run(agent, 'cat folder/file')).stdout).to.equal('after');
    await driver.remove(id);
    const later = createTestDriver(directory);
    expect(await later.snapshots()).to.deep.equal([{ ref: 'one', isUsed: false }]);
    await later.create(machineSpec('copy', fromSnapshot), patience());
    const copy = join(home, '../../copy/home');
    expect(readdirSync(copy).toSorted()).to.deep.equal(['dangling', 'folder', 'link', 'relative']);
    expect(readFileSync(join(copy, 'folder/file'), 'utf8')).to.equal('before');
    expect(lstatSync(join(copy, 'folder/file')).mode & 0o777).to.equal(0o751);
    expect(['link', 'relative', 'dangling'].map((name) => readlinkSync(join(copy, name)))).to.deep.equal([
      secret,
      'folder',
      'nowhere',
    ]);
    await later.removeSnapshot('one');
    await later.removeSnapshot('one');
    expect(await later.snapshots()).to.deep.equal([]);
    await later.remove('copy');
    expect(readdirSync(directory)).to.deep.equal(['outside']);
  });

  it('leave nothing behind when they fail, and the machine goes on', async () => {
    const { driver, id, agent } = await startMachine();
    expect(await failureOf(driver.snapshot(id, '../x', patience()))).to.match(/^MachineError failed: /);
    expect(await failureOf(driver.snapshot(id, 'one', AbortSignal.abort()))).to.match(/^MachineError timeout: /);
    expect(await failureOf(driver.snapshot('none', 'one', patience()))).to.match(/^MachineError gone: /);
    expect(await failureOf(driver.create(machineSpec('b', fromSnapshot), patience()))).to.match(
      /^MachineError no_image: /,
    );
    expect(await driver.snapshots()).to.deep.equal([]);
    await driver.snapshot(id, 'one', patience());
    expect(await failureOf(driver.snapshot(id, 'one', patience()))).to.match(/^MachineError failed: .*already/);
    const late = driver.create(machineSpec('b', fromSnapshot), AbortSignal.abort());
    expect(await failureOf(late)).to.match(/^MachineError timeout: /);
    expect(await driver.snapshots()).to.deep.equal([{ ref: 'one', isUsed: false }]);
    expect(await driver.list()).to.deep.equal([{ id, state: 'running' }]);
    expect((await run(agent, 'echo alive')).stdout).to.equal('alive\n');
    await driver.removeSnapshot('one');
  });

  it('start several copies from one moment, and say which could not be started', async () => {
    const { driver, id, home, agent } = await startMachine();
    writeFileSync(join(home, 'file'), 'one moment');
    const specs = [machineSpec('a'), machineSpec('b', { runtime: 'runsc' }), machineSpec('c')];
    const [a, b, c] = await driver.fork(id, specs, patience());
    expect([a, b?.code, c]).to.deep.equal([null, 'unsupported', null]);
    for (const copy of ['a', 'c']) {
      expect(readFileSync(join(home, `../../${copy}/home/file`), 'utf8')).to.equal('one moment');
    }
    const states = (await driver.list()).toSorted((one, other) => one.id.localeCompare(other.id));
    expect(states).to.deep.equal(['a', 'c', id].map((each) => ({ id: each, state: 'running' })));
    expect(await failureOf(driver.fork(id, [machineSpec('a')], patience()))).to.match(
      /^MachineError failed: .*already/,
    );
    expect(await driver.snapshots()).to.deep.equal([]);
    expect((await run(agent, 'echo alive')).stdout).to.equal('alive\n');
    for (const copy of ['a', 'c']) await driver.remove(copy);
  });

  it('interrupted ones are listed, can’t be started, and can be removed', async () => {
    const { driver, home } = await startMachine();
    mkdirSync(join(home, '../../.snapshots/one.part'), { recursive: true });
    expect(await driver.snapshots()).to.deep.equal([{ ref: 'one.part', isUsed: false }]);
    for (const image of ['one', 'one.part']) {
      expect(await failureOf(driver.create(machineSpec('b', { image, isSnapshot: true }), patience()))).to.match(
        /^MachineError (no_image|failed): /,
      );
    }
    await driver.removeSnapshot('one.part');
    expect(await driver.snapshots()).to.deep.equal([]);
  });
});
