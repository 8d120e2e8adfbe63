import type { MachineRow } from './measured.ts';
import { milliseconds, processesWith, quantiles, timed, until } from './measured.ts';
import type { Sandbox, Subject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

/** `commands.run('echo hi')` through the SDK. */
export async function measureRun(sandbox: Sandbox): Promise<Row> {
  const run = async () => {
    const { stdout } = await sandbox.commands.run('echo hi');
    if (stdout !== 'hi\n') throw new Error(`echo printed ${JSON.stringify(stdout)}`);
  };
  await timed(30, run);
  const { p50, p95, count } = quantiles(await timed(300, run));
  return {
    what: `commands.run('echo hi') through the SDK, p50 / p95 of ${count}`,
    bar: 'at most 20 / 60 ms',
    measured: `${milliseconds(p50)} / ${milliseconds(p95)}`,
    met: p50 <= 20 && p95 <= 60,
  };
}

/** The SDK's `create`, which answers once commands can run: one after another, and 16 at once. */
export async function measureCreate({ Sandbox }: Subject): Promise<Row[]> {
  const made: Sandbox[] = [];
  const create = async () => {
    made.push(await Sandbox.create());
  };
  await timed(3, create);
  const { p50, p95, count } = quantiles(await timed(40, create));
  await endAll(made);
  const [together = 0] = await timed(1, () => Promise.all(Array.from({ length: 16 }, create)));
  await endAll(made);
  return [
    {
      what: `create to ready, the image present, p50 / p95 of ${count}`,
      bar: 'at most 300 / 800 ms',
      measured: `${milliseconds(p50)} / ${milliseconds(p95)}`,
      met: p50 <= 300 && p95 <= 800,
    },
    {
      what: '16 created at once',
      bar: 'at most 3 s',
      measured: milliseconds(together),
      met: together <= 3000,
    },
  ];
}

/** A thousand small files through the SDK, one after another. */
export async function measureWrites(sandbox: Sandbox): Promise<Row> {
  const text = 'x'.repeat(100);
  const times = await timed(1000, (n) => sandbox.files.write(`many/${n}`, text));
  const total = times.reduce((sum, time) => sum + time, 0);
  return {
    what: '1,000 files.write of 100 bytes, one after another through the SDK',
    bar: 'at most 5 s',
    measured: milliseconds(total),
    met: total <= 5000,
  };
}

/** From a key's press through the SDK to its echo. */
export async function measureEcho(sandbox: Sandbox): Promise<Row> {
  let hear: (text: string) => void = () => {};
  const decoder = new TextDecoder();
  const onData = (bytes: Uint8Array) => hear(decoder.decode(bytes, { stream: true }));
  const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData, timeoutMs: 0 });
  const heard = (wanted: RegExp) =>
    new Promise<void>((resolve) => {
      let all = '';
      hear = (text) => {
        all += text;
        if (wanted.test(all)) resolve();
      };
    });
  const type = async (keys: string, wanted: RegExp) => {
    const done = heard(wanted);
    await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode(keys));
    await done;
  };
  await type('stty -icanon; echo rea""dy; cat > /dev/null\n', /ready/);
  await timed(20, () => type('k', /k/));
  const { p50, p95, count } = quantiles(await timed(300, () => type('k', /k/)));
  await terminal.kill();
  return {
    what: `terminal echo through the SDK, p50 / p95 of ${count}`,
    bar: 'p95 at most 20 ms',
    measured: `${milliseconds(p50)} / ${milliseconds(p95)}`,
    met: p95 <= 20,
  };
}

/** The SDK's `kill` of a sandbox with ten processes, and until none of them is left. */
export async function measureKill({ Sandbox }: Subject): Promise<Row[]> {
  const answers: number[] = [];
  const ends: number[] = [];
  for (let n = 0; n < 20; n++) {
    const sandbox = await Sandbox.create();
    const mark = `8765${n}.${process.pid}`;
    const command = `for i in $(seq 10); do sleep ${mark} & done; wait`;
    const handle = await sandbox.commands.run(command, { background: true, timeoutMs: 0 });
    const ended = handle.wait().catch(() => {});
    await until(() => processesWith(`sleep\0${mark}`).length >= 10, 10);
    const start = performance.now();
    await sandbox.kill();
    answers.push(performance.now() - start);
    await until(() => processesWith(mark).length === 0, 30);
    ends.push(performance.now() - start);
    await ended;
  }
  const [answer, end] = [quantiles(answers), quantiles(ends)];
  return [
    {
      what: `kill: answered, p50 / p95 of ${answer.count}`,
      bar: 'p95 at most 100 ms',
      measured: `${milliseconds(answer.p50)} / ${milliseconds(answer.p95)}`,
      met: answer.p95 <= 100,
    },
    {
      what: 'kill: no process left, p50 / p95',
      bar: 'p95 at most 2 s',
      measured: `${milliseconds(end.p50)} / ${milliseconds(end.p95)}`,
      met: end.p95 <= 2000,
    },
  ];
}

/** Ends these sandboxes and empties the array. */
export async function endAll(sandboxes: Sandbox[]): Promise<void> {
  await Promise.all(sandboxes.splice(0).map((sandbox) => sandbox.kill()));
}
