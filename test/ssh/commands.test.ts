import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Client, ClientChannel } from 'ssh2';
import { begin, ended, run, type Ssh, settled, startSsh } from '../helpers/clients/ssh-client.ts';
import { listen } from '../helpers/listen.ts';
import { until } from '../helpers/until.ts';

describe('commands over SSH', () => {
  let ssh: Ssh;
  let vm: string;
  let client: Client;
  beforeEach(async () => {
    ssh = await startSsh();
    vm = await ssh.create({ env: { OWN: 'own' } });
    client = await ssh.connect(vm);
  });

  it('run with their streams, and say how they end', async () => {
    const said = await run(client, 'cat; echo "é $OWN"; echo err >&2; exit 3', 'in\0\n');
    expect(said).to.deep.equal({ stdout: 'in\0\né own\n', stderr: 'err\n', code: 3, signal: null });
    expect(await run(client, 'kill -9 $$')).to.include({ code: null, signal: 'SIGKILL' });
    expect(await run(client, 'pwd; echo $HOME')).to.satisfy(({ stdout }: { stdout: string }) => {
      const [directory, home] = stdout.split('\n');
      return directory === home;
    });
    expect(await run(client, 'no-such-program')).to.include({ code: 127 });
    // A command that takes no input.
    expect(await run(client, 'exec <&-; echo on', 'x'.repeat(200_000))).to.include({ stdout: 'on\n', code: 0 });
  });

  it('get the variables of the sandbox, those that were staged, and those of the client', async () => {
    await ssh.post(`/v1/vms/${vm}/stage-env`, { entries: [{ env_name: 'STAGED', value: 'staged' }] });
    const env = { LANG: 'C.UTF-8', OWN: 'mine', '__proto__ x': 'no' };
    const { stdout } = await run(client, 'echo $OWN $STAGED $LANG', '', { env });
    expect(stdout).to.equal('mine staged C.UTF-8\n');
  });

  it('move much data both ways', async () => {
    const megabytes = 'some bytes\n'.repeat(2 ** 18);
    const { stdout } = await run(client, 'cat', megabytes);
    expect(stdout === megabytes).to.equal(true);
  });

  it('output and errors that wait for the client in turn arrive whole', async () => {
    const channel = await begin(client, 'head -c 8000000 /dev/zero; head -c 8000000 /dev/zero >&2; echo END');
    let output = 0;
    for await (const bytes of channel.iterator({ destroyOnReturn: false })) {
      output += bytes.length;
      // From here on errors use up the room, too.
      if (output === 8_000_000) break;
    }
    const { stdout, stderr, code } = await ended(channel);
    expect([stdout, stderr.length, code]).to.deep.equal(['END\n', 8_000_000, 0]);
  });

  it('have a terminal if the client wants one, which changes its size and takes keys', async () => {
    const shell: ClientChannel = await settled((done) => client.shell({ rows: 30, cols: 90, term: 'vt100' }, done));
    let shown = '';
    shell.setEncoding('utf8').on('data', (more: string) => {
      shown += more;
    });
    const shows = (pattern: RegExp) => until(String(pattern), () => pattern.test(shown));
    shell.write('stty size; echo "<$TERM>"\n');
    await shows(/30 90\r?\n(.|\n)*<vt100>/);
    shell.setWindow(40, 100, 0, 0);
    shell.write('stty size\n');
    await shows(/40 100/);
    shell.write('echo be""gun; sleep 1000\n');
    await shows(/begun/);
    shell.write('\x03echo aft""er\n');
    await shows(/after/);
    const exited = once(shell, 'exit');
    shell.write('exit 5\n');
    expect((await exited)[0]).to.equal(5);
  });

  it('get signals, and end when their client leaves', async () => {
    const waiting = await begin(client, 'trap "echo got; exit 6" USR1; echo ready; while :; do sleep 0.01; done');
    await once(waiting, 'data');
    (waiting as unknown as { signal: (name: string) => void }).signal('USR1');
    expect(await ended(waiting)).to.include({ stdout: 'got\n', code: 6 });
    const left = await begin(client, 'echo $$; sleep 1000');
    const pid = Number((await once(left, 'data'))[0]);
    client.end();
    await until('the command ends', () => !isAlive(pid));
  });

  it('of one connection run side by side; one that stops reading holds up no other', async () => {
    const flood = await begin(client, 'yes');
    const others = await Promise.all([1, 2, 3].map((n) => run(client, `echo ${n}`)));
    expect(others.map(({ stdout }) => stdout)).to.deep.equal(['1\n', '2\n', '3\n']);
    flood.close();
  });

  it('a sandbox that ends ends its commands', async () => {
    const waiting = await begin(client, 'echo ready; sleep 1000');
    await once(waiting, 'data');
    const end = ended(waiting);
    await ssh.remove(`/v1/vms/${vm}`);
    expect((await end).code).not.to.equal(0);
    expect(await run(client, 'true')).to.include({ stderr: `The sandbox ${vm} has ended\r\n`, code: 255 });
  });

  it('a suspended sandbox says so, and is resumed if it has auto_resume', async () => {
    await ssh.post(`/v1/vms/${vm}/suspend`);
    const { stderr, code } = await run(await ssh.connect(vm), 'true');
    expect([stderr, code]).to.deep.equal([
      `The sandbox ${vm} is suspended: resume it first with POST /v1/vms/${vm}/resume\r\n`,
      255,
    ]);
    const other = await ssh.create({ auto_resume: true });
    await ssh.post(`/v1/vms/${other}/suspend`);
    expect(await run(await ssh.connect(other), 'echo on')).to.include({ stdout: 'on\n' });
  });

  it('ports of the machine are reached with -L, and no others', async () => {
    const program = createServer((_req, res) => res.end('from the machine'));
    const port = await listen(program);
    const open = (host: string, to: number): Promise<ClientChannel> =>
      settled((done) => client.forwardOut('127.0.0.1', 1, host, to, done));
    const channel = await open('localhost', port);
    channel.write('GET / HTTP/1.0\r\n\r\n');
    expect(await text(channel)).to.contain('from the machine');
    program.close();
    const refused = await Promise.allSettled([open('192.0.2.1', 80), open('localhost', port)]);
    expect(refused.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    expect(await run(client, 'echo on')).to.include({ stdout: 'on\n' });
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
