import type { ServerResponse } from 'node:http';
import type { Response } from 'express';
import { HttpError } from '../../errors.ts';
import { releaseSlot } from '../admission/slots.ts';

/** Each may hold 256 KiB that the machine has sent and its client has not read. */
const sandboxLimits = { all: 2048, ofOne: 256, whose: 'The sandbox' };

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
  readonly #limits: typeof sandboxLimits;
  /** By the sandbox or user that they belong to. */
  readonly #byHolder = new Map<string, number>();

  /** `whose` says in errors who has too many. */
  constructor(limits = sandboxLimits) {
    this.#limits = limits;
  }

  /**
   * Makes a request a stream of a sandbox or user until its response is closed, which aborts the
   * signal that it returns. Call it once the credential is checked. Throws HttpError 429 if the
   * holder has too many, 503 if there are too many, and 499 if the client has left.
   */
  take(res: Response, holder: string): AbortSignal {
    // It would never be closed again, and hold its place forever.
    if (res.closed) throw new HttpError(499, 'The client has left');
    const { all, ofOne, whose } = this.#limits;
    const held = this.#byHolder.get(holder) ?? 0;
    if (held >= ofOne) throw tooMany(429, `${whose} has ${ofOne} open streams already`);
    if (this.#open >= all) throw tooMany(503, `There are ${all} open streams already`);
    this.#open++;
    this.#byHolder.set(holder, held + 1);
    const closed = new AbortController();
    res.once('close', () => {
      this.#release(holder);
      closed.abort();
    });
    streams.add(res);
    releaseSlot(res);
    return closed.signal;
  }

  #release(holder: string): void {
    this.#open--;
    const left = (this.#byHolder.get(holder) ?? 1) - 1;
    if (left > 0) this.#byHolder.set(holder, left);
    else this.#byHolder.delete(holder);
  }
}

function tooMany(status: number, problem: string): HttpError {
  return new HttpError(status, `${problem}: close some, or try again later`, { 'Retry-After': '1' });
}
