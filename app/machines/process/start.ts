import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { MachineError } from '../error.ts';
import { marker } from './end.ts';
import { type Place, recordAgent } from './folder.ts';

const executablePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Starts the agent so that it outlives this server, and notes its process before it returns.
 * `onExit` is called when it ends. Rejects with MachineError `failed`.
 */
export async function startAgent(place: Place, command: string[], onExit: () => void): Promise<void> {
  const { home, socket, folder } = place;
  const env = { PATH: executablePath, LANG: 'C.UTF-8', [marker]: folder };
  const options = { cwd: home, env, detached: true, stdio: 'ignore' } as const;
  const [program, ...args] = command;
  const child = spawn(program as string, [...args, 'serve', '--home', home, '--socket', socket], options);
  child.once('exit', onExit);
  child.unref();
  if (child.pid !== undefined) recordAgent(place, child.pid);
  await spawned(child);
}

async function spawned(child: ChildProcess): Promise<void> {
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new MachineError('failed', `The agent can not be started: ${(cause as Error).message}.`, { cause });
  }
}

/** Connects to an agent. Returns null if nothing listens. */
export async function connectTo({ socket: path }: Place): Promise<Socket | null> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return null;
  }
}
