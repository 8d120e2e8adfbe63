import type { Request } from 'express';
import { HttpError } from '../../errors.ts';

/**
 * Yields the body of a request as it arrives, and reads no faster than the caller. Throws HttpError
 * 408 when the client sends nothing for this long, and 400 when it closes the connection early.
 */
export async function* bodyPieces(req: Request, seconds: number): AsyncGenerator<Buffer> {
  const pieces = req.iterator({ destroyOnReturn: false });
  let fail = (_error: HttpError) => {};
  const timer = setTimeout(() => fail(stalled(seconds)), seconds * 1000);
  try {
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Buffer>>();
      fail = reject;
      timer.refresh();
      pieces.next().then(resolve, () => reject(closedEarly()));
      const { done, value } = await promise;
      if (done) return;
      yield value;
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns the body of a request, for handlers that read it themselves. Throws HttpError 413 for
 * more than `most` bytes, and what `bodyPieces` throws.
 */
export async function wholeBody(req: Request, seconds: number, most: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of bodyPieces(req, seconds)) {
    length += piece.length;
    if (length > most)
      throw new HttpError(413, `The request body is larger than ${most} bytes`, { Connection: 'close' });
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length);
}

function stalled(seconds: number): HttpError {
  return new HttpError(408, `Nothing of the body arrived for ${seconds} seconds`, { Connection: 'close' });
}

function closedEarly(): HttpError {
  return new HttpError(400, 'The connection was closed before the whole body had arrived');
}
