import type { ServerResponse } from 'node:http';
import type { Response } from 'express';
import { HttpError } from '../../errors.ts';
import { releaseSlot } from '../admission/slots.ts';

/** Each may hold 256 KiB that the machine has sent and its client has not read. */
const maxOpen = 2048;
const maxOpenOfSandbox = 256;

const streams = new WeakSet<ServerResponse>();

/** Returns whether a request is a stream: it may take as long as bytes move. */
export function isStream(res: ServerResponse): boolean {
  return streams.has(res);
}

/**
 * Bounds requests that may last: uploads, downloads, and the output of commands. They hold no slot
 * of the requests under way, and the time limit of a whole request does not apply to them.
 */
export class Streams {
  #open = 0;
  readonly #bySandbox = new Map<string, number>();

  /**
   * Makes a request a stream of a sandbox until its response is closed, which aborts the signal
   * that it returns. Call it once the credential is checked. Throws HttpError 429 if the sandbox
   * has too many, and 503 if there are too many.
   */
  take(res: Response, sandboxId: string): AbortSignal {
    const ofSandbox = this.#bySandbox.get(sandboxId) ?? 0;
    if (ofSandbox >= maxOpenOfSandbox) throw tooMany(429, `The sandbox has ${maxOpenOfSandbox} open streams already`);
    if (this.#open >= maxOpen) throw tooMany(503, `There are ${maxOpen} open streams already`);
    this.#open++;
    this.#bySandbox.set(sandboxId, ofSandbox + 1);
    const closed = new AbortController();
    res.once('close', () => {
      this.#release(sandboxId);
      closed.abort();
    });
    streams.add(res);
    releaseSlot(res);
    return closed.signal;
  }

  #release(sandboxId: string): void {
    this.#open--;
    const left = (this.#bySandbox.get(sandboxId) ?? 1) - 1;
    if (left > 0) this.#bySandbox.set(sandboxId, left);
    else this.#bySandbox.delete(sandboxId);
  }
}

function tooMany(status: number, problem: string): HttpError {
  return new HttpError(status, `${problem}: close some, or try again later`, { 'Retry-After': '1' });
}
