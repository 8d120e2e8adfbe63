import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { MachineError } from '../../error.ts';
import { msbError } from './failures.ts';

/** Milliseconds that calls may take. */
export const deadlines = { read: 15_000, change: 120_000 };

/** The longest output of one call; a list of 10,000 machines is a sixth of it. */
const mostOutput = 16 * 2 ** 20;
/** How long output may go on after the program: the machines that it starts may hold its pipes. */
const lateOutputMilliseconds = 500;

export type MsbCall = {
  /** what the call is for, as in `pause the machine` */
  doing: string;
  milliseconds?: number;
  signal?: AbortSignal | undefined;
  /** receives each piece of standard error */
  onWords?: (text: string) => void;
};

/** Runs `msb`: a process for each call, never a shell. */
export class Msb {
  readonly path: string;
  readonly #env: NodeJS.ProcessEnv;

  /** `home` is where msb keeps images, machines and snapshots. */
  constructor(path: string, home: string, env: NodeJS.ProcessEnv) {
    this.path = path;
    // Settings of Sandpit hold secrets.
    const others = Object.entries(env).filter(([name]) => !name.startsWith('SANDPIT_'));
    this.#env = { ...Object.fromEntries(others), MSB_HOME: home, NO_COLOR: '1' };
  }

  /** Returns the standard output. Rejects with MachineError, once the program has ended. */
  async run(args: string[], call: MsbCall): Promise<string> {
    const { doing, milliseconds = deadlines.change, signal, onWords } = call;
    const late = AbortSignal.timeout(milliseconds);
    const ending = signal ? AbortSignal.any([signal, late]) : late;
    if (ending.aborted) throw new MachineError('timeout', `microsandbox was not asked to ${doing} in time`);
    // In a group of its own: machines must survive a Ctrl+C in the terminal of the server.
    const child = spawn(this.path, args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const stop = () => void child.kill('SIGKILL');
    ending.addEventListener('abort', stop);
    try {
      const output = await collect(child, onWords);
      if (output.code === 0) return output.stdout;
      if (ending.aborted) throw new MachineError('timeout', `microsandbox did not ${doing} in time`);
      throw msbError(doing, output.stderr);
    } finally {
      ending.removeEventListener('abort', stop);
    }
  }

  /** Returns the JSON that the program printed. */
  async json<T>(args: string[], call: MsbCall): Promise<T> {
    const text = await this.run([...args, '--format', 'json'], { milliseconds: deadlines.read, ...call });
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new MachineError('failed', `microsandbox printed no JSON when asked to ${call.doing}`, { cause });
    }
  }
}

type Output = { code: number | null; stdout: string; stderr: string };

async function collect(child: ChildProcess, onWords?: (text: string) => void): Promise<Output> {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      if (texts.stdout.length + texts.stderr.length > mostOutput) child.kill('SIGKILL');
      else texts[name] += text;
      if (name === 'stderr') onWords?.(text);
    });
  }
  const closed = once(child, 'close');
  closed.catch(() => {});
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    const timer = endLateOutput(child, () => texts.stdout.length + texts.stderr.length);
    await closed;
    clearInterval(timer);
    return { code, ...texts };
  } catch (cause) {
    throw new MachineError('unavailable', `msb can not be run: ${(cause as Error).message}`, { cause });
  }
}

/** Ends the output of a program that has ended, once none came for a while. */
function endLateOutput(child: ChildProcess, length: () => number): NodeJS.Timeout {
  let seen = -1;
  const look = () => {
    if (length() === seen) for (const pipe of [child.stdout, child.stderr]) pipe?.destroy();
    seen = length();
  };
  // Timers run before pipes are read: after a busy moment the output may still be in them.
  return setInterval(() => setImmediate(look), lateOutputMilliseconds / 2);
}
