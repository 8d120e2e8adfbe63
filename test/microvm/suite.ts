import { expect } from 'chai';
import {
  ensureServer,
  eventually,
  killServerDuring,
  machineNames,
  outside,
  Sandbox,
  slowMilliseconds,
  snapshotNames,
  startServer,
} from './target.ts';

/**
 * Writes a number that grows twice a second. The number is in the memory of the process only.
 * Waiting for input that never comes needs no process, which would cost much where everything is
 * emulated.
 */
const counter =
  'mkfifo /tmp/f; exec 3<>/tmp/f; n=0; while true; do n=$((n + 1)); echo $n > /tmp/n; read -rt 0.5 -u 3; done';

async function startCounter(sandbox: Sandbox): Promise<void> {
  await sandbox.commands.run(counter, { background: true, timeoutMs: 0 });
  await eventually(
    'the counter counts',
    async () => (await sandbox.files.exists('/tmp/n')) && (await count(sandbox)) > 2,
  );
}

async function count(sandbox: Sandbox): Promise<number> {
  return Number((await sandbox.commands.run('cat /tmp/n')).stdout || '0');
}

/**
 * Waits until the counter passes a number. A counter that had started again would stay below it.
 */
async function countsOnFrom(sandbox: Sandbox, start: number): Promise<void> {
  await eventually(`the counter of ${sandbox.sandboxId} goes on`, async () => (await count(sandbox)) > start);
}

describe("Sandpit's executable with microVMs", function () {
  this.timeout(slowMilliseconds * 2);
  let sandbox: Sandbox;

  before('start the server, create a sandbox', async () => {
    await ensureServer();
    sandbox = await Sandbox.create({ timeoutMs: 3_600_000 });
    await startCounter(sandbox);
  });

  it('runs commands', async () => {
    const { stdout, stderr } = await sandbox.commands.run('echo out; echo err >&2; id -un');
    expect({ stdout, stderr }).to.deep.equal({ stdout: 'out\nuser\n', stderr: 'err\n' });
    const failed = await sandbox.commands.run('exit 3').catch((error: unknown) => error);
    expect(failed).to.include({ exitCode: 3 });
    const handle = await sandbox.commands.run('cat', { background: true, stdin: true });
    await sandbox.commands.sendStdin(handle.pid, 'hello');
    await sandbox.commands.closeStdin(handle.pid);
    expect((await handle.wait()).stdout).to.equal('hello');
  });

  it('has a kernel of its own', async () => {
    const bootId = 'cat /proc/sys/kernel/random/boot_id';
    expect((await sandbox.commands.run(bootId)).stdout).to.not.equal(await outside(bootId));
  });

  it('writes, reads and lists files', async () => {
    const bytes = new Uint8Array(300_000).map((_, index) => index * 7);
    await sandbox.files.write('folder/a', bytes.buffer);
    expect(await sandbox.files.read('folder/a', { format: 'bytes' })).to.deep.equal(bytes);
    expect((await sandbox.files.list('folder')).map(({ name, size }) => [name, size])).to.deep.equal([['a', 300_000]]);
  });

  it('opens a terminal', async () => {
    let shown = '';
    const onData = (data: Uint8Array) => {
      shown += Buffer.from(data).toString();
    };
    const terminal = await sandbox.pty.create({ cols: 90, rows: 20, onData });
    await sandbox.pty.sendInput(terminal.pid, Buffer.from('stty size\n'));
    await eventually('the terminal shows its size', () => shown.includes('20 90'));
    await terminal.kill();
  });

  it('pauses and resumes, and a process goes on', async () => {
    const before = await count(sandbox);
    await sandbox.pause();
    expect(await sandbox.getInfo()).to.include({ state: 'paused' });
    sandbox = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 3_600_000 });
    await countsOnFrom(sandbox, before);
  });

  it('forks a running machine: its process and its memory go on in both', async () => {
    const before = await count(sandbox);
    const [forked] = await sandbox.fork({ timeoutMs: 3_600_000 });
    if (!(forked instanceof Sandbox)) throw new Error('there is no fork', { cause: forked });
    await Promise.all([countsOnFrom(forked, before), countsOnFrom(sandbox, before)]);
    // From here on they are apart.
    await forked.files.write('/tmp/mine', 'fork');
    expect(await sandbox.files.exists('/tmp/mine')).to.equal(false);
    expect(await forked.kill()).to.equal(true);
  });

  it('takes a snapshot with memory; the process of a create from it goes on', async () => {
    const before = await count(sandbox);
    const { snapshotId } = await sandbox.createSnapshot();
    const copy = await Sandbox.create(snapshotId, { timeoutMs: 3_600_000 });
    await Promise.all([countsOnFrom(copy, before), countsOnFrom(sandbox, before)]);
    expect(await copy.kill()).to.equal(true);
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(true);
    await eventually('the runtime has no snapshot left', async () => (await snapshotNames()).length === 0);
  });

  it('ends a machine', async () => {
    expect(await sandbox.kill()).to.equal(true);
    expect(await sandbox.isRunning()).to.equal(false);
    await eventually('the runtime has no machine left', async () => (await machineNames()).length === 0);
  });
});

describe("Sandpit's executable with microVMs, killed with kill -9 in the middle of", function () {
  this.timeout(slowMilliseconds * 2);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.create({ timeoutMs: 3_600_000 });
    await startCounter(sandbox);
  });

  /** Kills the server while its `msb` does what the operation needs, and starts it again. */
  async function interrupted(operation: () => Promise<unknown>, command: string): Promise<void> {
    const ended = operation().catch(() => {});
    await killServerDuring(command);
    await ended;
    await startServer();
  }

  /** Every sandbox has a machine and every machine a sandbox; each that should run does. */
  async function isMended(): Promise<void> {
    const listed = async () => {
      const pages = Sandbox.list({ query: { state: ['running', 'paused'] } });
      const ids: string[] = [];
      while (pages.hasNext) ids.push(...(await pages.nextItems()).map(({ sandboxId }) => sandboxId));
      return ids.sort();
    };
    const isEven = async () => {
      const [ids, names] = await Promise.all([listed(), machineNames()]);
      return ids.length === names.length && ids.every((id) => names.some((name) => name.endsWith(id)));
    };
    await eventually('each sandbox has its machine and each machine its sandbox', isEven);
    for (const id of await listed()) {
      const connected = await Sandbox.connect(id, { timeoutMs: 3_600_000 });
      // A machine that the crash left frozen goes on once the server has looked at all machines.
      const isAlive = async () => (await connected.commands.run('echo alive')).stdout === 'alive\n';
      await eventually(`${id} runs commands`, () => isAlive().catch(() => false));
      if (id !== sandbox.sandboxId) await connected.kill();
    }
    await countsOnFrom(sandbox, await count(sandbox));
  }

  it('a create', async () => {
    await interrupted(() => Sandbox.create({ timeoutMs: 3_600_000 }), 'create');
    await isMended();
  });

  it('a pause', async () => {
    await interrupted(() => sandbox.pause(), 'pause');
    await isMended();
  });

  it('a snapshot', async () => {
    await interrupted(() => sandbox.createSnapshot(), 'snapshot create');
    await isMended();
    const pages = Sandbox.listSnapshots();
    const kept: string[] = [];
    while (pages.hasNext) kept.push(...(await pages.nextItems()).map(({ snapshotId }) => snapshotId));
    await eventually(
      'the runtime has the recorded snapshots only',
      async () => (await snapshotNames()).length === kept.length,
    );
    for (const id of kept) await Sandbox.deleteSnapshot(id);
  });

  it('a fork', async () => {
    await interrupted(() => sandbox.fork({ timeoutMs: 3_600_000 }), 'fork');
    await isMended();
    await eventually('the runtime has no snapshot left', async () => (await snapshotNames()).length === 0);
  });
});
