import { PassThrough } from 'node:stream';
import type { Agent } from '../../machines/agent/agent.ts';
import { writeFile } from '../../machines/agent/files.ts';
import { Refused } from './refused.ts';

/** How many bytes may come before those that they follow, and in how many pieces. */
const maxAhead = { bytes: 2 ** 24, pieces: 1024 };

/**
 * Writes a file from its beginning to its end. Clients send many pieces at once, and some send them
 * a little out of order.
 */
export class Writer {
  /** what to change once it is written */
  readonly changes: { mode?: number; size?: number; mtime?: number } = {};
  readonly #content = new PassThrough();
  readonly #begin: () => Promise<unknown>;
  /** null: nothing is written yet */
  #written: Promise<unknown> | null = null;
  readonly #cancelled = new AbortController();
  /** what has come before the bytes that it follows, by its place in the file */
  readonly #ahead = new Map<number, Buffer>();
  #aheadBytes = 0;
  #length = 0;

  /**
   * `isEmptied` says that the file is made, or loses what it holds, before anything is written.
   * Otherwise the first bytes replace what it holds.
   */
  constructor(
    agent: Agent,
    user: string,
    path: string,
    { isEmptied, ended }: { isEmptied: boolean; ended: AbortSignal },
  ) {
    const signal = AbortSignal.any([ended, this.#cancelled.signal]);
    this.#content.on('error', () => {});
    this.#begin = () => writeFile(agent, user, path, this.#content, {}, signal);
    if (isEmptied) void this.#start();
  }

  #start(): Promise<unknown> {
    if (!this.#written) {
      this.#written = this.#begin();
      // `write` and `end` tell.
      this.#written.catch(() => {});
    }
    return this.#written;
  }

  /** Returns whether a file of this length is what has come. */
  hasLength(length: number): boolean {
    return this.#aheadBytes === 0 && this.#length === length;
  }

  /** Resolves when more can be taken. Throws Refused for bytes out of order, and why it failed. */
  async write(offset: number, bytes: Buffer): Promise<void> {
    if (offset < this.#length || this.#ahead.has(offset)) throw new Refused(inOrder, { isUnsupported: true });
    // Nothing is written: it would wait here for ever.
    if (bytes.length === 0) return;
    const isFull = this.#ahead.size >= maxAhead.pieces || this.#aheadBytes + bytes.length > maxAhead.bytes;
    if (isFull) throw new Refused(inOrder, { isUnsupported: true });
    this.#aheadBytes += bytes.length;
    this.#ahead.set(offset, bytes);
    for (let next = this.#ahead.get(this.#length); next; next = this.#ahead.get(this.#length)) {
      this.#ahead.delete(this.#length);
      this.#aheadBytes -= next.length;
      this.#length += next.length;
      await this.#append(next);
    }
  }

  async #append(bytes: Buffer): Promise<void> {
    const written = this.#start();
    if (this.#content.write(bytes)) return;
    const drained = new Promise((resolve) => this.#content.once('drain', resolve));
    await Promise.race([drained, written]);
  }

  /** Resolves when everything is written. Throws Refused for a file with a gap. */
  async end(): Promise<void> {
    this.#content.end();
    await this.#written;
    if (this.#ahead.size > 0) throw new Refused(`The bytes from ${this.#length} on did not come: ${inOrder}`);
  }

  /** Gives up, and leaves what is written. */
  cancel(): void {
    this.#cancelled.abort();
  }
}

const inOrder = 'a file is written from its beginning to its end, and can not be resumed';
