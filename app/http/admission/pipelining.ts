import type { Socket } from 'node:net';
import type { NextFunction, Request, RequestHandler, Response } from 'express';

/** Requests that may wait on one connection for the response before theirs. */
const maxWaiting = 100;

/**
 * Returns a handler that runs `handler` for one request of a connection at a time, however many the
 * client sends at once (pipelining). It calls `refuse` for a request that finds too many waiting
 * before it.
 */
export function oneAtATime(handler: RequestHandler, refuse: (req: Request) => void): RequestHandler {
  const waiting = new WeakMap<Socket, number>();
  return (req, res, next) => {
    // Node gives a response its socket when the responses before it have been sent.
    if (res.socket) return void handler(req, res, next);
    const { socket } = req;
    const count = (waiting.get(socket) ?? 0) + 1;
    if (count > maxWaiting) return refuse(req);
    waiting.set(socket, count);
    res.once('socket', () => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      // Other connections get their turn first.
      setImmediate(() => runOrFail(handler, req, res, next));
    });
  };
}

function runOrFail(handler: RequestHandler, req: Request, res: Response, next: NextFunction): void {
  try {
    handler(req, res, next);
  } catch (error) {
    next(error);
  }
}
