import { once } from 'node:events';
import type { Response } from 'express';

/**
 * Sends pieces as a response, each once the client has taken the ones before. A failure after the
 * first cuts the connection: the client could not tell it from the end. Throws what reading throws,
 * and an AbortError when the signal says that the response is closed.
 */
export async function sendPieces(res: Response, pieces: AsyncIterable<Buffer>, closed: AbortSignal): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (!res.write(piece)) await once(res, 'drain', { signal: closed });
    }
    res.end();
  } catch (error) {
    if (res.headersSent) res.destroy();
    throw error;
  }
}
