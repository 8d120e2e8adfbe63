import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { fileHashes, forgetUnusedFiles, putFile, type UploadedFile, useFile } from '../../../db/builds/files.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Config } from '../../config/settings.ts';
import { HttpError } from '../../errors.ts';
import { archiveProblem } from './archive.ts';

/** How long a file is kept that no build uses, and how often to look for such files. */
const keepMilliseconds = 7 * 86_400_000;
const lookMilliseconds = 600_000;

/** A file may take this part of what all files of its owner may take. */
const ownerParts = 4;

type Parts = {
  store: Store;
  now: () => number;
  log: Logger;
  config: Pick<Config, 'db' | 'templateFilesMb'>;
  /** who this database is */
  instance: string;
};

/**
 * The archives that users upload for the steps of their templates: a folder for each user, in a
 * folder beside the database. The database knows which of them count; a file without a row is
 * removed, and a row without its file counts for nothing.
 */
export class BuildFiles {
  readonly #parts: Parts;
  readonly #directory: string;
  readonly #maxBytes: number;
  /** Files whose rows are about to be written, as `<owner>/<hash>`. */
  readonly #arriving = new Map<string, number>();
  #sweeping = Promise.resolve();
  #mustSweep = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: Parts) {
    const { db, templateFilesMb } = parts.config;
    const parent = db === ':memory:' ? tmpdir() : dirname(resolve(db));
    this.#parts = parts;
    this.#directory = join(parent, `template-files-${parts.instance}`);
    this.#maxBytes = templateFilesMb * 1_000_000;
  }

  /** The most bytes of one file. */
  get maxFileBytes(): number {
    return Math.floor(this.#maxBytes / ownerParts);
  }

  /** Begins to remove, in the background, what crashes have left and what no build uses. */
  start(): void {
    this.#timer = setInterval(() => this.sweep(), lookMilliseconds).unref();
    this.sweep();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /** Returns whether a user has uploaded this file. It counts as used from now on. */
  async has(ownerId: number, file: UploadedFile): Promise<boolean> {
    const found = await this.open(ownerId, file);
    await found?.close();
    return found !== null;
  }

  /**
   * Opens a user's file, which is a tar archive, perhaps compressed with gzip; null if there is
   * none. It counts as used from now on. What was opened stays readable whatever happens to the
   * file.
   */
  async open(ownerId: number, file: UploadedFile): Promise<FileHandle | null> {
    const { store, now } = this.#parts;
    const length = await useFile(store.db, now(), ownerId, file);
    if (length === null) return null;
    const handle = await open(this.#pathOf(ownerId, file.hash)).catch(() => null);
    if (handle === null || (await handle.stat()).size === length) return handle;
    await handle.close();
    return null;
  }

  /**
   * Stores a file as it arrives. It counts once it is complete and on disk; until then an earlier
   * one of the same hash stays. Throws HttpError 400 for something that is no archive, 413 for one
   * that is too large, 507 when the disk is full, and what `pieces` throws.
   */
  async receive(ownerId: number, file: UploadedFile, pieces: AsyncIterable<Buffer>): Promise<void> {
    const path = this.#pathOf(ownerId, file.hash);
    const partial = `${path}.${randomUUID()}.part`;
    const release = this.#claim(ownerId, file.hash);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const sizeBytes = await this.#write(partial, pieces);
      const { store, now } = this.#parts;
      await rename(partial, path);
      await inTransaction(store.db, (trx) =>
        putFile(trx, now(), ownerId, { ...file, sizeBytes, maxBytes: this.#maxBytes }),
      );
    } catch (error) {
      await rm(partial, { force: true });
      throw isDiskFull(error) ? new HttpError(507, 'The disk of the server is full') : error;
    } finally {
      release();
      this.sweep();
    }
  }

  /** Removes, in the background, files that do not count any more. */
  sweep(): void {
    if (this.#mustSweep) return;
    this.#mustSweep = true;
    this.#sweeping = this.#sweeping.then(async () => {
      this.#mustSweep = false;
      await this.#sweep().catch((error) => {
        this.#parts.log.warn({ err: error }, 'files of template builds could not be removed: trying again');
      });
    });
  }

  /** Writes a new file and returns its length. */
  async #write(path: string, pieces: AsyncIterable<Buffer>): Promise<number> {
    const handle = await open(path, 'wx+', 0o600);
    try {
      let length = 0;
      for await (const piece of pieces) {
        length += piece.length;
        if (length > this.maxFileBytes) throw tooLarge(this.maxFileBytes);
        await handle.appendFile(piece);
      }
      const problem = await archiveProblem(handle);
      if (problem !== null) throw new HttpError(400, problem);
      await handle.sync();
      return length;
    } finally {
      await handle.close();
    }
  }

  /** Keeps a file from being removed until the function that it returns is called. */
  #claim(ownerId: number, hash: string): () => void {
    const key = `${ownerId}/${hash}`;
    this.#arriving.set(key, (this.#arriving.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#arriving.get(key) ?? 1) - 1;
      if (left > 0) this.#arriving.set(key, left);
      else this.#arriving.delete(key);
    };
  }

  async #sweep(): Promise<void> {
    const { store, now } = this.#parts;
    await inTransaction(store.db, (trx) => forgetUnusedFiles(trx, now() - keepMilliseconds));
    for (const owner of await namesIn(this.#directory)) {
      const names = await namesIn(join(this.#directory, owner));
      // Before the rows are read: a file that arrives in between has its row by then.
      const arriving = new Set(this.#arriving.keys());
      const counting = await fileHashes(store.db, Number(owner));
      for (const name of names) {
        const [hash = ''] = name.split('.');
        if (counting.has(name) || arriving.has(`${owner}/${hash}`)) continue;
        await rm(join(this.#directory, owner, name), { force: true });
      }
    }
  }

  #pathOf(ownerId: number, hash: string): string {
    return join(this.#directory, String(ownerId), hash);
  }
}

/** Returns the names in a directory; none if it does not exist. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

/** Returns the answer to a file that is too large. The rest of it is not read. */
export function tooLarge(most: number): HttpError {
  return new HttpError(413, `A file of a template build may have ${most} bytes at most`, { Connection: 'close' });
}

function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
