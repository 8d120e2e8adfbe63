import type { Socket } from 'node:net';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';

/** Bodies that may be on their way at a time: each may come to hold 1 MiB. */
const maxArriving = 128;

/** Requests that may wait on one connection for the answer to the one before. */
const maxWaiting = 100;

/** Bytes of answers that may lie here because their clients don't read them. */
const maxUnreadBytes = 2 ** 27;

/** All that are smaller come to no more than half of that. */
const largeAnswer = 2 ** 16;

/** What asks whether the server is well is answered however busy it is: or whoever asks would end a busy server. */
export function isProbe({ path }: Pick<Request, 'path'>): boolean {
  return path === '/health' || path === '/ready';
}

const released = Symbol('released');

/** Has an answer count no longer as under way: a stream, which may go on for days and mostly does nothing. */
export function releaseSlot(res: Response): void {
  res.emit(released);
}

/**
 * Returns the handler that bounds how many requests are under way, before memory suffers: it throws HttpError 503 with
 * `Retry-After` for one too many, 505 for what isn't HTTP/1, and 417 for an expectation that nobody meets. A client that
 * sends slowly or doesn't read takes no room from others: when it gets tight, the connection goes whose body has been on its way, or whose answer has lain
 * here, for the longest. Requests on one connection are taken up one after another, however many come at once.
 */
export function admission({ config, log }: Pick<Context, 'config' | 'log'>): RequestHandler {
  const underWay = new Set<Response>();
  const arriving = new Set<Request>();

  /** One function for all: on every request another would cost more than all the rest of this. */
  function release(this: Response) {
    underWay.delete(this);
    arriving.delete(this.req);
  }
  const cut = (req: Request, reason: string) => {
    log.warn({ id: req.id, reason }, 'connection cut');
    arriving.delete(req);
    if (req.res) underWay.delete(req.res);
    req.socket.destroy();
  };
  const boundArriving = (most: number) => {
    for (const req of arriving) {
      if (req.complete) arriving.delete(req);
      else if (arriving.size > most) cut(req, 'its body is slow and others wait');
      else return;
    }
  };
  /** Called as soon as an answer is whole: many that are asked for at once are worked out one after another. */
  function boundUnread(this: Response) {
    if (this.writableLength < largeAnswer) return;
    let unread = unreadBytes(underWay);
    for (const res of underWay) {
      if (unread <= maxUnreadBytes) return;
      if (res !== this && res.writableEnded) {
        unread -= res.writableLength;
        cut(res.req, 'its answer is not read and others wait');
      }
    }
  }

  const admit: RequestHandler = (req, res, next) => {
    // Node's parser lets 0.9 and 2.0 pass, which mean something else on the wire.
    if (req.httpVersionMajor !== 1) throw new HttpError(505, undefined, { Connection: 'close' });
    if (isUnmetExpectation(req)) throw new HttpError(417);
    if (isProbe(req)) return next();
    if (underWay.size >= config.maxConcurrent) boundArriving(Math.max(arriving.size - 1, 0));
    if (underWay.size >= config.maxConcurrent) {
      throw new HttpError(503, 'Too many requests are under way: try again later', { 'Retry-After': '1' });
    }
    underWay.add(res);
    if (mayHaveBody(req)) {
      arriving.add(req);
      boundArriving(maxArriving);
    }
    res.on('close', release).on(released, release).on('prefinish', boundUnread);
    next();
  };

  const waiting = new WeakMap<Socket, number>();
  return (req, res, next) => {
    // A response has its socket from the moment at which it is its turn to be sent.
    if (res.socket) {
      admit(req, res, next);
      return;
    }
    const { socket } = req;
    const count = (waiting.get(socket) ?? 0) + 1;
    if (count > maxWaiting) {
      cut(req, 'too many requests wait on one connection');
      return;
    }
    waiting.set(socket, count);
    res.once('socket', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      // The next one only after others had their turn.
      setImmediate(() => admitOrFail(req, res, next));
    });
  };
  function admitOrFail(req: Request, res: Response, next: NextFunction) {
    try {
      admit(req, res, next);
    } catch (error) {
      next(error);
    }
  }
}

/** Returns whether the client expects something other than `100-continue`, which Node answers (RFC 9110, 10.1.1). */
function isUnmetExpectation({ headers: { expect } }: Request): boolean {
  return expect !== undefined && !/(^|\W)100-continue($|\W)/i.test(expect);
}

function unreadBytes(responses: Set<Response>): number {
  let sum = 0;
  for (const { writableLength } of responses) sum += writableLength;
  return sum;
}

function mayHaveBody({ headers }: Request): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}
