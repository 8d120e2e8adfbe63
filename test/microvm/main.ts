import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type OuterMachine, runOutside, startOuterMachine } from './machine.ts';

/**
 * `npm run test:microvm`: Sandpit's executable with microVMs, judged from outside by E2B's SDK.
 *
 * The executable runs in an emulated PC (QEMU) whose processor has AMD's virtualization, so a host
 * without KVM will do. In it are Debian's kernel and microsandbox's `msb`; its microVMs are real.
 * Needs root, x86-64, what `npm run package` builds, and Debian's packages qemu-system-x86, cpio,
 * e2fsprogs, busybox-static and python3-venv. What it downloads and makes stays in the temporary
 * folder. Emulated virtualization is not steady: a run that fails is repeated, twice at most. Speed
 * is not judged: everything is 10 to 30 times slower than with KVM. Arguments go to mocha.
 */
const root = fileURLToPath(new URL('../../', import.meta.url));
const executable = process.env.TEST_EXECUTABLE ?? `${root}dist/sandpit-linux-x64`;
/** Each starts what it needs, also alone: `--grep` chooses tests. */
const suites = ['test/microvm/suite.ts', 'test/microvm/instavm.ts', 'test/microvm/egress.ts'];
/** How long one run may take. Beside other work on the host, one test may take minutes. */
const runMilliseconds = Number(process.env.TEST_MICROVM_LIMIT ?? 900) * 1000;
/** About one run in six fails by the emulator: a microVM hangs, or dies as it starts. */
const mostRuns = 3;
const started = Date.now();

function say(words: string): void {
  process.stdout.write(`[${((Date.now() - started) / 1000).toFixed(0)} s] ${words}\n`);
}

/** Returns whether the tests passed. */
async function judge(): Promise<boolean> {
  say('Starting the outer machine...');
  const machine = await startOuterMachine(executable);
  say('It is up.');
  try {
    const passed = await runTests(machine);
    if (!passed) await explain(machine);
    return passed;
  } finally {
    await machine.stop();
  }
}

/** What a signal must end; the outer machine ends by itself. */
let tests: ChildProcess | undefined;

async function runTests({ url, controlPort }: OuterMachine): Promise<boolean> {
  const args = ['--no-package', '--no-parallel', '--bail', '--timeout', '120000', ...process.argv.slice(2)];
  const env = { ...process.env, TEST_MICROVM_URL: url, TEST_MICROVM_CONTROL: String(controlPort) };
  const mocha = [`${root}node_modules/mocha/bin/mocha.js`, ...args, ...suites];
  const child = spawn(process.execPath, mocha, { cwd: root, env, stdio: 'inherit' });
  tests = child;
  const timer = setTimeout(() => {
    say(`The tests did not end within ${runMilliseconds / 1000} s.`);
    child.kill('SIGKILL');
  }, runMilliseconds);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return code === 0;
}

/** Prints what helps to understand a failure. */
async function explain({ controlPort, console: words }: OuterMachine): Promise<void> {
  say(`The end of the outer machine's console:\n${words()}`);
  const command = 'tail -c 4000 /data/server.log; timeout 20 msb list; ls /data/msb/sandboxes; free -m';
  say(await runOutside(controlPort, command, 30_000).catch((error: Error) => error.message));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    tests?.kill('SIGKILL');
    process.exit(1);
  });

if (!existsSync(executable)) throw new Error(`there is no ${executable}: run npm run package first`);
let passed = false;
for (let run = 1; run <= mostRuns && !passed; run++) {
  if (run > 1) say('The run failed. Emulated virtualization is not steady, so it is repeated.');
  passed = (await judge().catch((error: Error) => say(error.message))) === true;
}
say(passed ? 'Passed.' : `Failed ${mostRuns} times.`);
process.exitCode = passed ? 0 : 1;
