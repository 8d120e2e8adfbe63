import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type EngineCommand = {
  args: string[];
  env?: Record<string, string>;
  /** the file with the id of a process that ends soon after the engine */
  helper?: string;
};

/** An engine of a test's own, in a folder and a network of its own. */
export class EngineProcess {
  /** Everything that the engine writes is below it. */
  readonly folder: string;
  readonly #command: (folder: string) => EngineCommand;
  /** the file of its network namespace */
  readonly network: string;
  #child: ChildProcess | null = null;
  readonly #killAtExit = () => void this.#child?.kill('SIGKILL');

  constructor(command: (folder: string) => EngineCommand) {
    this.folder = mkdtempSync(join(tmpdir(), 'sandpit-engine-'));
    this.#command = command;
    this.network = join(this.folder, 'network');
    // Engines write firewall rules and bridges: with a network namespace for each, two can't
    // collide.
    closeSync(openSync(this.network, 'w'));
    execFileSync('unshare', [`--net=${this.network}`, 'ip', 'link', 'set', 'lo', 'up']);
    process.on('exit', this.#killAtExit);
  }

  get socket(): string {
    return join(this.folder, 'engine.sock');
  }

  /** Starts the engine and waits until it answers. Throws an Error with its output if it ends. */
  async start(): Promise<void> {
    const { args, env } = this.#command(this.folder);
    const log = openSync(join(this.folder, 'log'), 'a');
    const child = spawn('nsenter', [`--net=${this.network}`, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    await until(() => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${args[0]} ended:\n${this.#log()}`);
      return answers(this.socket);
    });
  }

  /** Ends the engine; its machines may run on. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
    const { helper } = this.#command(this.folder);
    await until(() => helper === undefined || !isRunning(helper));
  }

  /** Ends the engine and deletes everything that it wrote. Its machines must be gone. */
  async remove(): Promise<void> {
    await this.end('SIGTERM');
    process.off('exit', this.#killAtExit);
    await until(() => {
      // The network's file is a mount point. Podman leaves others, also through its late helpers.
      for (const point of mountsBelow(this.folder)) spawnSync('umount', ['--lazy', point]);
      return isDeleted(this.folder);
    });
  }

  #log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8').slice(-4000);
  }
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 10));
}

function isDeleted(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

function isRunning(pidFile: string): boolean {
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 0);
    return true;
  } catch {
    return false;
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: '/version', agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

/** Returns the mount points in a folder, the innermost first. */
function mountsBelow(folder: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  const points = lines.map((line) => line.split(' ')[4] as string);
  return points.filter((point) => point.startsWith(`${folder}/`)).reverse();
}
