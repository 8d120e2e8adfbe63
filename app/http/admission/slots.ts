import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import { HttpError } from '../../errors.ts';

/** Bodies that may arrive at the same time. Each takes up to 1 MiB of memory. */
const maxArriving = 128;

/** Bytes of finished responses that may wait in memory for their clients to read them. */
const maxUnreadBytes = 2 ** 27;

/** Shorter responses do not count: 1,024 of them, the default limit, take at most half of that. */
const largeResponse = 2 ** 16;

const released = Symbol('released');

/**
 * Frees the slot of a response that goes on: an event stream may last for days and is idle most of
 * the time.
 */
export function releaseSlot(res: Response): void {
  res.emit(released);
}

/**
 * Bounds the requests that are handled at the same time, so that memory stays bounded. Slow clients
 * do not take room from others: at a limit, the connection is closed whose body has been arriving
 * longest, or whose response has waited longest to be read.
 */
export class Slots {
  readonly #limit: number;
  readonly #log: Logger;
  /** In the order in which they were taken. */
  readonly #taken = new Set<Response>();
  /** Requests whose body may still be arriving, the longest-arriving first. */
  readonly #arriving = new Set<Request>();
  // Listeners, called with the response as `this`. All requests share them, because closures for
  // each request would cost more than the rest of this class.
  readonly #release: (this: Response) => void;
  readonly #boundUnread: (this: Response) => void;

  constructor(limit: number, log: Logger) {
    const slots = this;
    this.#limit = limit;
    this.#log = log;
    this.#release = function () {
      slots.#free(this.req, this);
    };
    this.#boundUnread = function () {
      if (this.writableLength >= largeResponse) slots.#cutUnread(this);
    };
  }

  /**
   * Takes a slot until the response is closed or released. Throws HttpError 503 if none is free.
   */
  take(req: Request, res: Response): void {
    if (this.#isFull) this.#boundArriving(Math.max(this.#arriving.size - 1, 0));
    if (this.#isFull) {
      throw new HttpError(503, 'The server is handling too many requests: try again later', { 'Retry-After': '1' });
    }
    this.#taken.add(res);
    if (mayHaveBody(req)) {
      this.#arriving.add(req);
      this.#boundArriving(maxArriving);
    }
    // The response is whole at 'prefinish'. Checking there keeps requests that came at once from
    // piling up responses.
    res.on('close', this.#release).on(released, this.#release).on('prefinish', this.#boundUnread);
  }

  /** Closes the request's connection and logs the reason. */
  cut(req: Request, reason: string): void {
    this.#log.warn({ id: req.id, reason }, 'connection cut');
    this.#free(req, req.res);
    req.socket.destroy();
  }

  get #isFull(): boolean {
    return this.#taken.size >= this.#limit;
  }

  #free(req: Request, res: Response | undefined): void {
    this.#arriving.delete(req);
    if (res) this.#taken.delete(res);
  }

  #boundArriving(most: number): void {
    for (const req of this.#arriving) {
      if (req.complete) this.#arriving.delete(req);
      else if (this.#arriving.size > most) this.cut(req, 'its body is slow and others wait');
      else return;
    }
  }

  #cutUnread(latest: Response): void {
    let unread = 0;
    for (const { writableLength } of this.#taken) unread += writableLength;
    for (const res of this.#taken) {
      if (unread <= maxUnreadBytes) return;
      if (res !== latest && res.writableEnded) {
        unread -= res.writableLength;
        this.cut(res.req, 'its answer is not read and others wait');
      }
    }
  }
}

function mayHaveBody({ headers }: Request): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}
