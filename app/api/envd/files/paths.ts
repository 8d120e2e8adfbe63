import { posix } from 'node:path';
import { HttpError } from '../../../errors.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import type { Entry } from '../../../machines/agent/entry.ts';
import { statFile } from '../../../machines/agent/files.ts';

/** The longest path that Linux accepts (PATH_MAX, without its NUL). */
const maxPathBytes = 4095;

/** Returns a path that a machine may be asked for. Throws HttpError 400. */
export function checkedPath(path: string): string {
  if (path.includes('\0')) throw new HttpError(400, 'A path has a NUL character in it');
  if (Buffer.byteLength(path) > maxPathBytes) throw new HttpError(400, `A path is longer than ${maxPathBytes} bytes`);
  return path;
}

/** Throws HttpError 400 for anything but a file. */
export function refuseOther({ type }: Entry, path: string): void {
  if (type === 'directory') throw new HttpError(400, `path '${path}' is a directory`);
  if (type !== 'file') throw new HttpError(400, `path '${path}' is not a regular file`);
}

/** Returns a function that makes paths absolute as the agent does, to compare them. */
export async function pathResolver(agent: Agent, user: string, signal: AbortSignal): Promise<(path: string) => string> {
  const home = await statFile(agent, user, '~', signal);
  return (path) => posix.resolve(home.path, path.replace(/^~(?=\/|$)/, '.'));
}
