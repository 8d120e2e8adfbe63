import { lstatSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { cp, lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundSnapshot, TakenSnapshot } from '../driver.ts';
import { MachineError } from '../error.ts';

const folderName = '.snapshots';
/** Copies that are not whole, or are being removed, end with this. */
const part = '.part';

/** Copies of the homes of machines, each in a folder that carries its name. */
export class Snapshots {
  readonly #folder: string;
  /** the copies that this server is making */
  readonly #underWay = new Set<string>();

  /** `directory` is where all machines are. */
  constructor(directory: string) {
    this.#folder = join(directory, folderName);
  }

  /** Copies a home. Leaves nothing behind on failure, which is a MachineError. */
  async take(home: string, name: string, signal: AbortSignal): Promise<TakenSnapshot> {
    const path = this.#pathOf(name);
    if (exists(path)) throw new MachineError('failed', `There is a snapshot ${name} already.`);
    await this.copied(home, name, signal, (copy) => renameSync(copy, path));
    return { ref: name, sizeBytes: await sizeOf(path) };
  }

  /**
   * Returns the home that a snapshot holds. Throws MachineError `no_image` without such a snapshot.
   */
  homeOf(ref: string): string {
    const path = this.#pathOf(ref);
    if (!exists(path)) throw new MachineError('no_image', `There is no snapshot ${ref}.`);
    return path;
  }

  /**
   * Copies a folder beside the snapshots. `use` moves the copy or waits; what it leaves is removed.
   */
  async copied<T>(
    source: string,
    name: string,
    signal: AbortSignal,
    use: (copy: string) => T | Promise<T>,
  ): Promise<T> {
    const copy = `${this.#pathOf(name)}${part}`;
    if (this.#underWay.has(copy)) throw new MachineError('failed', `There is a copy ${name} under way.`);
    this.#underWay.add(copy);
    try {
      await rm(copy, { recursive: true, force: true });
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      await copyFolder(source, copy, signal);
      return await use(copy);
    } finally {
      await rm(copy, { recursive: true, force: true, maxRetries: 5 });
      this.#underWay.delete(copy);
    }
  }

  list(): FoundSnapshot[] {
    const names = exists(this.#folder) ? readdirSync(this.#folder) : [];
    const found = names.filter((name) => !this.#underWay.has(join(this.#folder, name)));
    return found.map((ref) => ({ ref, isUsed: false }));
  }

  async remove(ref: string): Promise<void> {
    const path = this.#pathOf(ref.endsWith(part) ? ref.slice(0, -part.length) : ref);
    const remains = `${path}${part}`;
    if (this.#underWay.has(remains)) throw new MachineError('failed', `The snapshot ${ref} is being made.`);
    await rm(remains, { recursive: true, force: true });
    if (ref.endsWith(part) || !exists(path)) return;
    // At once: a snapshot of which only a part is removed must not seem whole.
    renameSync(path, remains);
    await rm(remains, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Returns whether nothing is kept, and nothing is being copied. */
  isEmpty(): boolean {
    return !exists(this.#folder) || readdirSync(this.#folder).length === 0;
  }

  #pathOf(name: string): string {
    if (!/^[\w-]{1,128}$/.test(name)) throw new MachineError('failed', `'${name}' can't be the name of a snapshot.`);
    return join(this.#folder, name);
  }
}

/** Copies files, folders and links as they are. Pipes, sockets and devices belong to processes. */
async function copyFolder(source: string, copy: string, signal: AbortSignal): Promise<void> {
  const filter = async (path: string) => {
    if (signal.aborted) throw new MachineError('timeout', 'The files of the machine could not be copied in time.');
    const stats = await lstat(path);
    return stats.isFile() || stats.isDirectory() || stats.isSymbolicLink();
  };
  try {
    await cp(source, copy, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true, filter });
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    throw new MachineError('failed', `The files can not be copied: ${(cause as Error).message}.`, { cause });
  }
}

/** Returns the bytes of all files. */
async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = files.map(({ parentPath, name }) => lstatSync(join(parentPath, name)).size);
  return sizes.reduce((sum, size) => sum + size, 0);
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
