import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The executable to test. If set, every process and application that a test starts is this file.
 */
export const executable = process.env.TEST_EXECUTABLE;

const main = fileURLToPath(new URL('../../../app/main.ts', import.meta.url));
/** Preloaded into a process whose clock a test sets. */
const clock = fileURLToPath(new URL('./clock.cjs', import.meta.url));
/** The command line that starts the program. The whole suite runs a bundle of it. */
export const program = executable === undefined ? [process.execPath, process.env.TEST_PROGRAM ?? main] : [executable];

export type Result = { code: number | null; stdout: string; stderr: string };

/** Runs `sandpit` to its end, as a process of its own. */
export async function sandpit(
  args: string[],
  { env = {}, input = '', cwd = '/', stdout = 'pipe' }: Options = {},
): Promise<Result> {
  const child = start(args, { env, cwd, stdout });
  child.stdin?.end(input);
  const output = collect(child, stdout);
  const [code] = await once(child, 'close');
  return { code, ...output };
}

export type Serving = {
  url: string;
  output: Omit<Result, 'code'>;
  pid: number;
  signal: (signal: NodeJS.Signals) => void;
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
  /** Sets the clock of a process that was started with `withClock`. */
  setClock: (time: number) => Promise<void>;
};

/**
 * Starts `sandpit serve` on a free port and waits until it answers. Throws an Error if it exits
 * first.
 */
export function serve(args: string[], options: Options = {}): Promise<Serving> {
  return listening('serve', args, options);
}

/**
 * Starts `sandpit proxy` on a free port and waits until it answers. Throws an Error if it exits
 * first.
 */
export function proxy(args: string[], options: Options = {}): Promise<Serving> {
  return listening('proxy', args, options);
}

async function listening(
  command: string,
  args: string[],
  { env = {}, cwd = '/', withClock = false, stdout = 'pipe' }: Options,
): Promise<Serving> {
  const child = start([command, '--port', '0', ...args], { env, cwd, withClock, stdout });
  const output = collect(child, stdout);
  const closed = once(child, 'close').then(([code]) => code as number | null);
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr?.on('data', () => {
      const [, found] = /answers on (\S+)/.exec(output.stderr) ?? [];
      if (found) resolve(found);
    });
    closed.then(() => reject(new Error(`${command} ended: ${output.stderr}`)), reject);
  });
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    return closed;
  };
  const setClock = async (time: number) => {
    child.send(time);
    await once(child, 'message');
  };
  const signal = (name: NodeJS.Signals) => void child.kill(name);
  return { url, output, pid: child.pid as number, signal, stop, setClock };
}

export type TestServer = {
  url: string;
  apiKey: string;
  pid: number;
  output: Omit<Result, 'code'>;
  /** Returns the exit code. */
  closeStdin: () => Promise<number | null>;
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
};

/**
 * Starts `sandpit serve --test` and waits for its line of JSON. Throws an Error if it exits
 * first.
 */
export async function serveTest(args: string[] = []): Promise<TestServer> {
  const child = start(['serve', '--test', ...args], { env: {}, cwd: '/' });
  const output = collect(child);
  const closed = once(child, 'close').then(([code]) => code as number | null);
  const ready = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', () => output.stdout.includes('\n') && resolve(output.stdout));
    closed.then(() => reject(new Error(`serve --test ended: ${output.stderr}`)), reject);
  });
  return {
    ...(JSON.parse(ready) as Pick<TestServer, 'url' | 'apiKey' | 'pid'>),
    output,
    closeStdin: () => {
      child.stdin?.end();
      return closed;
    },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return closed;
    },
  };
}

type Options = {
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
  /** Gives the process a clock that `setClock` sets. */
  withClock?: boolean;
  /** An open file instead of a pipe; 'unread' is a pipe without a reader. */
  stdout?: number | 'pipe' | 'unread';
};
type Start = Required<Pick<Options, 'env' | 'cwd'>> & Pick<Options, 'withClock' | 'stdout'>;

/** Starts `sandpit` as a process of its own. */
export function start(args: string[], { env, cwd, withClock, stdout = 'pipe' }: Start): ChildProcess {
  const stdio = ['pipe', stdout === 'unread' ? 'pipe' : stdout, 'pipe', ...(withClock ? ['ipc'] : [])];
  const [file = '', ...first] = program;
  const child = spawn(file, [...first, ...args], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compiled,
      // Whatever this computer can run: a test that wants machines says so.
      SANDPIT_MACHINES: 'none',
      ...(withClock && { NODE_OPTIONS: `--require=${clock}` }),
      ...env,
    },
    cwd,
    stdio: stdio as ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

const running = new Set<ChildProcess>();

/** Later processes reuse the compile cache of the first. */
const compiled = mkdtempSync(join(tmpdir(), 'sandpit-compiled-'));
process.once('exit', () => rmSync(compiled, { recursive: true, force: true }));

/**
 * Called after the last test, because a process left by a failed test would keep mocha from
 * ending.
 */
export function killRunning(): void {
  for (const child of running) child.kill('SIGKILL');
}

function collect(child: ChildProcess, stdout: Options['stdout'] = 'pipe'): Omit<Result, 'code'> {
  const output = { stdout: '', stderr: '' };
  if (stdout !== 'unread')
    child.stdout?.on('data', (chunk) => {
      output.stdout += chunk;
    });
  child.stderr?.on('data', (chunk) => {
    output.stderr += chunk;
  });
  return output;
}
