import { descriptorsOf, type MachineRow, processesWith, until } from './measured.ts';
import { containersOf, type Sandbox, type Subject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;
type Call = (sandbox: Sandbox, n: number) => Promise<unknown>;

const clients = 10;

/** Ten SDK clients that each make mixed calls for a minute; then what was left behind. */
export async function measureMixed(subject: Subject, milliseconds: number): Promise<Row[]> {
  await endAll(await Promise.all(Array.from({ length: clients }, () => subject.Sandbox.create())), subject);
  const before = await leftovers(subject);
  const sandboxes = await Promise.all(
    Array.from({ length: clients }, () => subject.Sandbox.create({ timeoutMs: 600_000 })),
  );
  const wrong: string[] = [];
  let calls = 0;
  const end = performance.now() + milliseconds;
  const work = async (sandbox: Sandbox, client: number) => {
    for (let n = client; performance.now() < end; n++, calls++) {
      const [name, call] = mix[n % mix.length] as [string, Call];
      await call(sandbox, n).catch((error) => wrong.push(`${name}: ${error}`));
    }
  };
  await Promise.all(sandboxes.map(work));
  await endAll(sandboxes, subject);
  // Connections that are kept alive close after some seconds.
  let after = await leftovers(subject);
  await until(async () => {
    after = await leftovers(subject);
    return after.every((value, n) => value <= (before[n] ?? 0));
  }, 60).catch(() => {});
  const lost = after.map((value, n) => value - (before[n] ?? 0));
  for (const text of new Set(wrong.slice(0, 5))) process.stderr.write(`wrong: ${text}\n`);
  const seconds = milliseconds / 1000;
  return [
    {
      what: `${clients} SDK clients x ${seconds} s of mixed calls: wrong answers`,
      bar: '0',
      measured: `${wrong.length} of ${calls.toLocaleString('en')}`,
      met: wrong.length === 0,
    },
    {
      what: 'after them: descriptors of the server, processes, containers left',
      bar: '0, 0, 0',
      measured: lost.join(', '),
      met: lost.every((value) => value <= 0),
    },
  ];
}

/** Returns how many descriptors the server has, and how many processes and containers there are. */
async function leftovers({ pid, engine }: Subject): Promise<number[]> {
  // Processes of machines, their shims, and relays of the channel.
  const folder = engine.address.replace('unix://', '').replace('/engine.sock', '');
  return [descriptorsOf(pid), processesWith(folder).length, (await containersOf(engine)).length];
}

async function endAll(sandboxes: Sandbox[], { engine }: Subject): Promise<void> {
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
  await until(async () => (await containersOf(engine)).length === 0, 60);
}

function equal(found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${JSON.stringify(found)?.slice(0, 200)} instead of ${JSON.stringify(expected).slice(0, 200)}`);
}

const mix: [string, Call][] = [
  ['run', async (sandbox, n) => equal((await sandbox.commands.run(`echo ${n}`)).stdout, `${n}\n`)],
  [
    'exit code',
    async (sandbox, n) => {
      const code = await sandbox.commands.run(`exit ${n % 200}`).then(
        () => 0,
        (error) => error.exitCode,
      );
      equal(code, n % 200);
    },
  ],
  [
    'write and read',
    async (sandbox, n) => {
      await sandbox.files.write(`mixed/${n % 50}`, `text ${n}`);
      equal(await sandbox.files.read(`mixed/${n % 50}`), `text ${n}`);
    },
  ],
  [
    'output',
    async (sandbox) => {
      const { stdout } = await sandbox.commands.run('seq 20000');
      equal(stdout.length, 108_894);
    },
  ],
  [
    'input',
    async (sandbox, n) => {
      const handle = await sandbox.commands.run('cat', { background: true, stdin: true });
      await handle.sendStdin(`in ${n}`);
      await handle.closeStdin();
      equal((await handle.wait()).stdout, `in ${n}`);
    },
  ],
  [
    'kill a command',
    async (sandbox) => {
      const handle = await sandbox.commands.run('sleep 1000', { background: true });
      const ended = handle.wait().catch((error) => error.exitCode);
      equal(await handle.kill(), true);
      equal(await ended, -1);
    },
  ],
  [
    'terminal',
    async (sandbox, n) => {
      let printed = '';
      const decoder = new TextDecoder();
      const onData = (bytes: Uint8Array) => {
        printed += decoder.decode(bytes, { stream: true });
      };
      const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData });
      await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode(`echo te""xt ${n}; exit 0\n`));
      await terminal.wait();
      equal(printed.includes(`text ${n}`), true);
    },
  ],
  [
    'watch',
    async (sandbox, n) => {
      await sandbox.files.makeDir('watched');
      let see: () => void = () => {};
      const seen = new Promise<void>((resolve) => {
        see = resolve;
      });
      const handle = await sandbox.files.watchDir('watched', ({ name }) => {
        if (name === `w${n}`) see();
      });
      await sandbox.files.write(`watched/w${n}`, 'a');
      await seen;
      await handle.stop();
      await sandbox.files.remove(`watched/w${n}`);
    },
  ],
  [
    'list',
    async (sandbox) => {
      equal((await sandbox.files.list('/etc')).length > 3, true);
      equal(await sandbox.files.exists('/none'), false);
    },
  ],
  ['running', async (sandbox) => equal(await sandbox.isRunning(), true)],
];
