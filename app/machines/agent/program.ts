import { chmodSync, lstatSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MachineError } from '../error.ts';
import { builtAgent } from './built.ts';

/** Makes the directory of all machines, or throws MachineError if it belongs to someone else. */
export function makeDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const found = lstatSync(directory);
  if (!found.isDirectory() || found.uid !== process.getuid?.())
    throw new MachineError('failed', `${directory} belongs to another user.`);
}

/** Returns the path of the agent's program, which it writes first if it is missing. */
export function agentFile(directory: string): string {
  const { bytes, version } = builtAgent(process.arch === 'arm64' ? 'arm64' : 'x64');
  const file = join(directory, `agent.${version}`);
  if (isFile(file)) return file;
  const part = `${file}.${process.pid}`;
  writeFileSync(part, bytes);
  chmodSync(part, 0o755);
  renameSync(part, file);
  return file;
}

export function isFile(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
