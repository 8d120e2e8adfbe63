import type { Request } from 'express';
import { MachineError } from '../error.ts';

/** Returns a signal that aborts when the client goes away before its answer. */
export function clientOf({ res }: Request): AbortSignal {
  const gone = new AbortController();
  res?.on('close', () => {
    if (!res.writableEnded) gone.abort(new MachineError('gone', 'The client went away'));
  });
  return gone.signal;
}
