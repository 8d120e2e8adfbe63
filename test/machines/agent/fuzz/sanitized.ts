import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sourceFolder, sources } from '../../../../app/machines/agent/build/compile.ts';

/** Nobody, whose files and processes are none that matter. */
const uid = 65_534;

/** Builds the agent with gcc, under AddressSanitizer and UndefinedBehaviorSanitizer. */
export function buildSanitized(program: string): void {
  const flags = ['-std=c17', '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  execFileSync('gcc', [...flags, ...sources(), '-o', program], { cwd: sourceFolder, stdio: 'inherit' });
  chmodSync(program, 0o755);
}

/** An agent that runs as nobody in a new directory. */
export type Sanitized = { agent: ChildProcess; socket: string; report: () => string; end: () => void };

/** Starts the program and waits until it listens. Throws an Error unless root asks. */
export async function startSanitized(program: string): Promise<Sanitized> {
  if (process.getuid?.() !== 0) throw new Error('this needs root, because it runs the agent as nobody');
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-fuzz-'));
  const home = join(directory, 'home');
  mkdirSync(home);
  for (const each of [directory, home]) chownSync(each, uid, uid);
  const socket = join(directory, 'socket');
  // Nobody may not be able to reach the checkout.
  const copy = join(directory, 'agent');
  copyFileSync(program, copy);
  const env = { PATH: '/usr/bin:/bin', ASAN_OPTIONS: 'allocator_may_return_null=1' };
  const options = { uid, gid: uid, env, stdio: ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe'] };
  const agent = spawn(copy, ['serve', '--home', home, '--socket', socket], options);
  let report = '';
  agent.stderr.on('data', (bytes: Buffer) => (report += bytes));
  while (!existsSync(socket) && agent.exitCode === null) await delay(5);
  const end = () => {
    agent.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  return { agent, socket, report: () => report, end };
}

/** Connects to the agent. Resolves also when it refuses: then the socket is closed. */
export async function connectTo({ socket }: Sanitized): Promise<Socket> {
  const channel = connect(socket);
  // The agent closes channels that break its rules, also while bytes are on their way.
  channel.on('error', () => undefined);
  await Promise.race([once(channel, 'connect'), once(channel, 'close')]);
  return channel;
}
