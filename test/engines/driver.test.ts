import { hostname } from 'node:os';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { readFile } from '../../app/machines/agent/files.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { openNetwork } from '../../app/machines/network/rules.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { failure } from './failure.ts';
import { connect, driverOf, run, runProgram, soon, specOf, startMachine } from './machine.ts';

describeOnEngines('the Docker driver', (engine) => {
  let driver: Driver;
  beforeEach(() => {
    driver = driverOf(engine());
  });
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
  });

  it('says which engine answers', async () => {
    const { name, version, address } = await driver.probe();
    expect(name.toLowerCase()).to.equal(engine().engine);
    expect(version).to.match(/^\d+\.\d+/);
    expect(address).to.equal(engine().address);
  });

  it('starts a machine, runs commands in it, lists it and removes it', async () => {
    const agent = await startMachine(driver, specOf('first', engine()));
    expect(await run(agent, 'id -un; echo $HOME')).to.include({ output: 'user\n/home/user\n', exitCode: 0 });
    expect(await driver.list()).to.deep.equal([{ id: 'first', state: 'running' }]);
    await driver.remove('first');
    await agent.closed;
    expect(await driver.list()).to.deep.equal([]);
    await driver.remove('first');
    expect(await failure(driver.channel('first', soon()))).to.equal('gone');
  });

  it('makes one machine of several creates with the same id', async () => {
    const spec = specOf('once', engine());
    await Promise.all([driver.create(spec, soon()), driver.create(spec, soon())]);
    const agent = await connect(driver, 'once');
    await run(agent, 'touch ~/kept');
    await driver.create(spec, soon());
    expect(await run(agent, 'ls ~')).to.include({ output: 'kept\n' });
    expect(await driver.list()).to.have.length(1);
  });

  it('replaces what an interrupted create left', async () => {
    const spec = specOf('left', engine());
    await driver.create(spec, soon());
    const [container] = await containers();
    await engine().ask('POST', `/containers/${container?.Id}/kill`);
    await driver.create(spec, soon());
    expect(await driver.list()).to.deep.equal([{ id: 'left', state: 'running' }]);
  });

  it('leaves nothing behind when a create fails', async () => {
    const fails = (id: string, changes: object) => failure(driver.create(specOf(id, engine(), changes), soon()));
    expect(await fails('one', { image: 'localhost/missing:latest' })).to.equal('no_image');
    await driver.create(specOf('two', engine()), soon());
    expect(await fails('three', { image: 'localhost/missing:latest', network: openNetwork })).to.equal('no_image');
    expect(await fails('four', { runtime: 'no-such-runtime', network: openNetwork })).to.equal('unsupported');
    expect(await fails('not/possible', {})).to.equal('unsupported');
    await driver.remove('two');
    expect(await containers()).to.deep.equal([]);
    expect(await networks()).to.deep.equal([]);
  });

  it('leaves nothing behind when a create is given up in the middle', async () => {
    await driver.create(specOf('warm', engine()), soon());
    await driver.remove('warm');
    for (const milliseconds of [0, 3, 10, 30, 60, 100]) {
      const result = await failure(
        driver.create(
          specOf(`given-up-${milliseconds}`, engine(), { network: openNetwork }),
          AbortSignal.timeout(milliseconds),
        ),
      );
      // A fast engine may have been done.
      if (result === null) await driver.remove(`given-up-${milliseconds}`);
      else expect(result).to.equal('timeout');
      expect(await containers()).to.deep.equal([]);
      expect(await networks()).to.deep.equal([]);
    }
  });

  it('neither sees nor touches the machines of another database', async () => {
    const other = driverOf(engine());
    await other.create(specOf('theirs', engine()), soon());
    expect(await driver.list()).to.deep.equal([]);
    await driver.remove('theirs');
    expect(await failure(driver.channel('theirs', soon()))).to.equal('gone');
    expect(await other.list()).to.deep.equal([{ id: 'theirs', state: 'running' }]);
    await other.remove('theirs');
    await other.close();
  });

  it('finds machines that another process started', async () => {
    const instance = 'feedfacefeedface';
    const before = driverOf(engine(), instance);
    await before.create(specOf('older', engine()), soon());
    await before.close();
    const after = driverOf(engine(), instance);
    expect(await run(await connect(after, 'older'), 'echo here')).to.include({ output: 'here\n' });
    await after.remove('older');
    expect(await after.list()).to.deep.equal([]);
    await after.close();
  });

  it('gives the file of the machine for a link to /etc/hostname', async () => {
    const agent = await startMachine(driver, specOf('linked', engine()));
    await run(agent, 'ln -s /etc/hostname ~/link');
    const { content } = await readFile(agent, 'user', '~/link');
    const name = (await buffer(content)).toString().trim();
    expect(name).to.equal('linked').and.not.equal(hostname());
  });

  it('starts an image without bash', async () => {
    const { minimalImage: image } = engine();
    const agent = await startMachine(driver, specOf('minimal', engine(), { image }));
    expect(await runProgram(agent, ['/bin/sh', '-c', 'id -u'], 'root')).to.include({ output: '0\n', exitCode: 0 });
  });

  it('reads what a machine uses', async () => {
    const agent = await startMachine(driver, specOf('used', engine()));
    const before = await driver.usage('used');
    expect(before.memoryBytes).to.be.within(1, 128 * 2 ** 20);
    await run(agent, 'for ((n = 0; n < 200000; n++)); do :; done');
    expect((await driver.usage('used')).cpuSeconds).to.be.above(before.cpuSeconds);
    expect(await failure(driver.usage('missing'))).to.equal('gone');
  });

  it('finds images, and says which are missing', async () => {
    const found = await driver.image(engine().image);
    expect(found?.id).to.match(/^(sha256:)?[0-9a-f]{64}$/);
    expect(found?.sizeBytes).to.be.above(1e6);
    expect(await driver.image('localhost/missing:latest')).to.equal(null);
  });

  it('says that a registry can not be reached', async () => {
    const words: string[] = [];
    const pull = driver.pull('registry.invalid/some/image', (line) => words.push(line), soon());
    expect(await failure(pull)).to.equal('unavailable');
  });

  async function containers(): Promise<{ Id: string }[]> {
    return (await engine().ask('GET', '/containers/json?all=1')) as { Id: string }[];
  }

  /** Returns the networks of single machines; Docker's shared one stays. */
  async function networks(): Promise<string[]> {
    const found = (await engine().ask('GET', '/networks')) as { Name: string }[];
    return found.map(({ Name }) => Name).filter((name) => /^sandpit-[0-9a-f]{8}-/.test(name));
  }
});
