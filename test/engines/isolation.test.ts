import { constants } from 'node:os';
import { expect } from 'chai';
import type { Agent } from '../../app/machines/agent/agent.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { openNetwork } from '../../app/machines/network/rules.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { driverOf, run, specOf, startMachine, statusIn } from './machine.ts';

/** Prints the error of the fork that was refused, and how many worked. */
const forkUntilRefused = `
import os, signal
children = []
try:
  while len(children) < 400:
    child = os.fork()
    if child == 0: signal.pause()
    children.append(child)
except OSError as error:
  print(error.errno, len(children))
for child in children: os.kill(child, signal.SIGKILL)
`;

describeOnEngines('a machine of the Docker driver', (engine) => {
  let driver: Driver;
  let agent: Agent;
  before(async () => {
    driver = driverOf(engine());
    agent = await startMachine(driver, specOf('limited', engine()));
  });
  after(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
  });

  it('ends a command that needs more memory than it has, and runs on', async () => {
    const fits = await run(agent, 'python3 -c "x = bytearray(40 << 20); print(len(x))"');
    expect(fits).to.include({ exitCode: 0, output: `${40 << 20}\n` });
    const ran = await run(agent, 'exec python3 -c "x = bytearray(400 << 20); print(len(x))"');
    expect(ran).to.include({ exitCode: -1, signal: 9, output: '' });
    expect(await run(agent, 'echo alive')).to.include({ output: 'alive\n' });
  });

  it('has at most 256 processes', async () => {
    const { output } = await run(agent, `python3 -c '${forkUntilRefused}'`);
    const [error, started] = output.trim().split(' ').map(Number);
    expect(error).to.equal(constants.errno.EAGAIN);
    expect(started).to.be.within(200, 256);
    expect(await run(agent, 'echo alive')).to.include({ output: 'alive\n' });
  });

  it('has the processors that it was given', async () => {
    const quota = 'cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_{quota,period}_us';
    expect((await run(agent, quota)).output.trim().split(/\s+/)).to.deep.equal(['100000', '100000']);
  });

  it('runs commands without privileges, under seccomp', async () => {
    expect(await statusIn(agent, 'CapEff')).to.equal('0000000000000000');
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT.
    expect(await statusIn(agent, 'CapBnd')).to.equal('00000000000404fb');
    expect(await statusIn(agent, 'NoNewPrivs')).to.equal('1');
    expect(await statusIn(agent, 'Seccomp')).to.equal('2');
    expect((await run(agent, 'sudo -n id')).exitCode).to.equal(1);
  });

  it('lets sudo work where the template allows it', async () => {
    const allowed = await startMachine(driver, specOf('sudo', engine(), { allowsSudo: true }));
    expect((await run(allowed, 'sudo -n id -u 2>/dev/null')).output).to.equal('0\n');
    expect(await statusIn(allowed, 'CapBnd')).to.equal('00000000000404fb');
  });

  it('has no files of the host but the agent, which nobody can change', async () => {
    const types = 'proc|sysfs|tmpfs|devpts|mqueue|cgroup2?|overlay';
    const list = `while read -r _ path type _; do [[ $type =~ ^(${types})$ ]] || echo $path; done < /proc/mounts`;
    const { output: mounts } = await run(agent, list);
    const engineFiles = ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf', '/run/.containerenv'];
    expect(
      mounts
        .trim()
        .split('\n')
        .filter((path) => !engineFiles.includes(path)),
    ).to.deep.equal(['/opt/sandpit']);
    expect((await run(agent, 'echo x > /opt/sandpit/agent', 'root')).exitCode).to.equal(1);
    expect((await run(agent, 'rm -f /opt/sandpit/agent', 'root')).exitCode).to.equal(1);
    expect((await run(agent, 'ls /run/sandpit')).exitCode).to.equal(2);
  });

  it('has no devices of the host, and none can be made', async () => {
    const { output } = await run(agent, 'find /dev -type b; mknod /tmp/disk b 254 0 2>&1', 'root');
    expect(output).to.match(/^mknod: .*Operation not permitted\n$/);
  });

  it('sees none of the processes outside', async () => {
    const { output } = await run(agent, 'tr "\\0" " " < /proc/1/cmdline');
    expect(output).to.equal('/opt/sandpit/agent serve ');
  });

  it('reaches itself and no other machine', async () => {
    const [one, two] = await Promise.all(
      ['one', 'two'].map((id) => startMachine(driver, specOf(id, engine(), { network: openNetwork }))),
    );
    const server = 'cd /tmp; python3 -m http.server 8000 >/dev/null 2>&1 </dev/null &';
    await run(one as Agent, `${server} until (: < /dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.05; done`);
    const own = 'while read -r ip names; do [[ " $names " == *" one "* ]] && echo $ip; done < /etc/hosts; :';
    const address = (await run(one as Agent, own)).output.trim();
    expect(address).to.match(/^\d+\.\d+\.\d+\.\d+$/);
    const ask = `timeout 3 bash -c ': < /dev/tcp/${address}/8000'`;
    expect((await run(one as Agent, ask)).exitCode).to.equal(0);
    expect((await run(two as Agent, ask)).exitCode).to.be.oneOf([1, 124]);
  });
});
