import { posix } from 'node:path';
import ssh2 from 'ssh2';
import type { Agent } from '../../machines/agent/agent.ts';
import type { Entry } from '../../machines/agent/entry.ts';
import { AgentError } from '../../machines/agent/error.ts';
import { listDirectory, moveFile, readFile, statFile } from '../../machines/agent/files.ts';
import { MachineError } from '../../machines/error.ts';
import { Handles } from './handles.ts';
import { runProgram } from './program.ts';
import { Refused } from './refused.ts';
import { Writer } from './writer.ts';

const { OPEN_MODE: modes } = ssh2.utils.sftp;

const limits = { read: 2 ** 17, entries: 100_000, page: 100 };

/** What a client wants to change of a file; times are in seconds since 1970. */
type Changes = { mode?: number; size?: number; uid?: number; gid?: number; mtime?: number };

/** A file that is read, one that is written, or the rest of a directory. */
type Open = { path: string; writer: Writer | null; entries: Entry[] };

/** The files of a machine as SFTP opens, reads and changes them. */
export class Files {
  readonly #agent: Agent;
  readonly #user: string;
  readonly #home: string;
  readonly #ended: AbortSignal;
  readonly #open = new Handles<Open>();

  private constructor(agent: Agent, user: string, home: string, ended: AbortSignal) {
    this.#agent = agent;
    this.#user = user;
    this.#home = home;
    this.#ended = ended;
  }

  /** Returns the files as this user may use them. Throws AgentError and MachineError. */
  static async open(agent: Agent, user: string, ended: AbortSignal): Promise<Files> {
    return new Files(agent, user, (await statFile(agent, user, '~', ended)).path, ended);
  }

  /** Returns a path from the root; others begin in the user's home. */
  resolve(path: string): string {
    if (path.includes('\0')) throw new Refused('A path has a NUL character in it');
    return posix.resolve(this.#home, path);
  }

  /** Returns the file that a path leads to. All throw Refused, AgentError and MachineError. */
  async stat(path: string): Promise<Entry> {
    const entry = await this.linkStat(path);
    return entry.symlinkTarget === null ? entry : this.linkStat(entry.symlinkTarget);
  }

  async linkStat(path: string): Promise<Entry> {
    return statFile(this.#agent, this.#user, this.resolve(path), this.#ended);
  }

  async statOpen(handle: Buffer): Promise<Entry> {
    return this.stat(this.#open.get(handle).path);
  }

  /** Opens a file, and returns its handle. */
  async open(path: string, flags: number, { mode }: Changes): Promise<Buffer> {
    const found = await this.#find(path);
    if (found?.type === 'directory') throw new Refused(`${path} is a directory`);
    if ((flags & modes.WRITE) === 0) {
      if (!found) throw new AgentError('not_found', `${path} does not exist`);
      return this.#open.add({ path: found.path, writer: null, entries: [] });
    }
    if (flags & modes.READ) throw new Refused('A file is read or written, not both', { isUnsupported: true });
    if (flags & modes.APPEND) throw new Refused('Nothing is added to the end of a file', { isUnsupported: true });
    if (found && flags & modes.EXCL) throw new Refused(`${path} exists already`);
    if (!found && !(flags & modes.CREAT)) throw new AgentError('not_found', `${path} does not exist`);
    const whole = this.resolve(path);
    // The agent makes missing directories, and SFTP does not.
    if (!found) await this.stat(posix.dirname(whole));
    const isEmptied = !found || (flags & modes.TRUNC) !== 0;
    const writer = new Writer(this.#agent, this.#user, whole, { isEmptied, ended: this.#ended });
    if (!found && mode !== undefined) writer.changes.mode = mode & 0o777;
    return this.#open.add({ path: whole, writer, entries: [] });
  }

  /** Returns bytes of a file; none at its end. */
  async read(handle: Buffer, offset: number, length: number): Promise<Buffer> {
    const { path, writer } = this.#open.get(handle);
    if (writer) throw new Refused(`${path} is open for writing`);
    const range = { offset, length: Math.min(length, limits.read) };
    const { content } = await readFile(this.#agent, this.#user, path, range, this.#ended);
    const parts: Buffer[] = [];
    let read = 0;
    for await (const part of content) {
      read += part.length;
      if (read > range.length) throw new MachineError('failed', 'The machine sent more than it was asked for');
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  async write(handle: Buffer, offset: number, bytes: Buffer): Promise<void> {
    const { path, writer } = this.#open.get(handle);
    if (!writer) throw new Refused(`${path} is open for reading`);
    await writer.write(offset, bytes);
  }

  async close(handle: Buffer): Promise<void> {
    const { path, writer } = this.#open.remove(handle);
    if (!writer) return;
    await writer.end();
    await this.change(path, writer.changes);
  }

  /** Gives up what is open. */
  closeAll(): void {
    for (const { writer } of this.#open.all()) writer?.cancel();
  }

  async change(path: string, { mode, size, uid, gid, mtime }: Changes): Promise<void> {
    const whole = this.resolve(path);
    if (size !== undefined) await this.run(['truncate', '-s', String(size), '--', whole]);
    if (uid !== undefined && gid !== undefined) await this.run(['chown', `${uid}:${gid}`, '--', whole]);
    if (mode !== undefined) await this.run(['chmod', (mode & 0o7777).toString(8), '--', whole]);
    if (mtime !== undefined) await this.run(['touch', '-m', '-d', `@${mtime}`, '--', whole]);
  }

  /** Changes a file that is open; one that is written as soon as it is closed. */
  async changeOpen(handle: Buffer, changes: Changes): Promise<void> {
    const { path, writer } = this.#open.get(handle);
    if (!writer) return this.change(path, changes);
    const { size, mode, mtime } = changes;
    // Clients set the length that they have written, in case the file was longer before.
    if (size !== undefined && !writer.hasLength(size)) writer.changes.size = size;
    if (mode !== undefined) writer.changes.mode = mode;
    if (mtime !== undefined) writer.changes.mtime = mtime;
  }

  async openDirectory(path: string): Promise<Buffer> {
    const whole = this.resolve(path);
    const held = [...this.#open.all()].reduce((sum, { entries }) => sum + entries.length, 0);
    const entries = await listDirectory(this.#agent, this.#user, whole, 1, limits.entries - held, this.#ended);
    return this.#open.add({ path: whole, writer: null, entries });
  }

  /** Returns the next entries of a directory; none at its end. */
  nextEntries(handle: Buffer): Entry[] {
    return this.#open.get(handle).entries.splice(0, limits.page);
  }

  /** Moves a file. SFTP replaces none. */
  async rename(from: string, to: string): Promise<void> {
    if (await this.#find(to)) throw new Refused(`${to} exists already`);
    await moveFile(this.#agent, this.#user, this.resolve(from), this.resolve(to), this.#ended);
  }

  /** Runs a program of the machine, and returns the line that it prints. */
  async run(args: string[]): Promise<string> {
    return runProgram(this.#agent, this.#user, args, this.#ended);
  }

  async #find(path: string): Promise<Entry | null> {
    try {
      return await this.stat(path);
    } catch (error) {
      if (error instanceof AgentError && error.code === 'not_found') return null;
      throw error;
    }
  }
}
