import type { Request, RequestHandler } from 'express';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { isProbe } from '../probes.ts';
import { oneAtATime } from './pipelining.ts';
import { Slots } from './slots.ts';

/**
 * Returns the handler that admits requests. It bounds the requests that are handled at the same
 * time, by `Slots`, and handles those of one connection one after another. It throws HttpError 503
 * with `Retry-After` if no slot is free, 505 for anything but HTTP/1, and 417 for an expectation
 * that cannot be met.
 */
export function admission({ config, log }: Pick<Context, 'config' | 'log'>): RequestHandler {
  const slots = new Slots(config.maxConcurrent, log);
  return oneAtATime(
    (req, res, next) => {
      // Node's parser accepts versions 0.9 and 2.0, whose messages have another form.
      if (req.httpVersionMajor !== 1) throw new HttpError(505, undefined, { Connection: 'close' });
      if (isUnmetExpectation(req)) throw new HttpError(417);
      if (!isProbe(req)) slots.take(req, res);
      next();
    },
    (req) => slots.cut(req, 'too many requests wait on one connection'),
  );
}

/**
 * Returns whether the client expects anything but `100-continue`, which Node answers (RFC 9110,
 * 10.1.1).
 */
function isUnmetExpectation({ headers: { expect } }: Request): boolean {
  return expect !== undefined && !/(^|\W)100-continue($|\W)/i.test(expect);
}
