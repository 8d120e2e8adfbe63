import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Agent } from '../../app/machines/agent/agent.ts';
import { readFile, writeFile } from '../../app/machines/agent/files.ts';
import { startProcess } from '../../app/machines/agent/processes.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { failure } from './failure.ts';
import { connect, driverOf, run, soon, specOf, startMachine } from './machine.ts';

describeOnEngines('the channels of the Docker driver', (engine) => {
  let driver: Driver;
  let agent: Agent;
  before(async () => {
    driver = driverOf(engine());
    agent = await startMachine(driver, specOf('linked', engine()));
  });
  after(async () => {
    await driver.remove('linked');
    await driver.close();
  });

  it('carry any bytes, both ways', async () => {
    const bytes = randomBytes(5_000_000);
    const pieces = (async function* () {
      for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
    })();
    await writeFile(agent, '', '/tmp/bytes', pieces, {});
    const { content } = await readFile(agent, '', '/tmp/bytes');
    expect((await buffer(content)).equals(bytes)).to.equal(true);
  });

  it('block a command whose output nobody takes, and no other command', async () => {
    const spec = { user: '', cwd: '/', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0, tag: '' };
    const leaving = new AbortController();
    const args = ['/bin/bash', '-c', 'for ((n = 0; ; n++)); do echo $n > /tmp/count; head -c 10000 /dev/zero; done'];
    const flood = startProcess(agent, { ...spec, args }, leaving.signal);
    await flood.next();
    await flood.next();
    const stuck =
      'until a=$(< /tmp/count); sleep 0.3; b=$(< /tmp/count); [ -n "$a" ] && [ "$a" = "$b" ]; do :; done; echo $a';
    const { output } = await run(agent, stuck);
    // The credit of a call, and what the pipe holds.
    expect(Number(output) * 10_000).to.be.below(2 ** 20);
    leaving.abort();
    await run(agent, 'pkill -9 -f /dev/zero; pkill -9 -f /tmp/count; :');
  });

  it('end their program in the machine when they are closed', async () => {
    for (let n = 0; n < 5; n++) {
      const channel = await driver.channel('linked', soon());
      channel.destroy();
    }
    const count =
      "n=0; for f in /proc/[0-9]*/cmdline; do [[ $(tr '\\0' ' ' < $f) == '/opt/sandpit/agent relay '* ]] && ((n++)); done 2>/dev/null; echo $n";
    const relays = async () => Number((await run(agent, count, 'root')).output);
    while ((await relays()) !== 1);
  });

  it('are several at once', async () => {
    const agents = await Promise.all([1, 2, 3].map(() => connect(driver, 'linked')));
    const outputs = await Promise.all(agents.map(async (each, n) => (await run(each, `echo ${n}`)).output));
    expect(outputs).to.deep.equal(['0\n', '1\n', '2\n']);
    for (const each of agents) each.close();
  });

  it('are given up when the signal aborts', async () => {
    expect(await failure(driver.channel('linked', AbortSignal.abort()))).to.equal('timeout');
  });

  it('wait for no machine that has stopped', async () => {
    await driver.create(specOf('stopped', engine()), soon());
    const containers = (await engine().ask('GET', '/containers/json')) as { Id: string; Names: string[] }[];
    const found = containers.find(({ Names }) => Names.some((name) => name.endsWith('-stopped')));
    await engine().ask('POST', `/containers/${found?.Id}/kill`);
    expect(await failure(driver.channel('stopped', soon()))).to.equal('gone');
    await driver.remove('stopped');
  });
});
