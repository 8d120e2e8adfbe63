import { once } from 'node:events';
import type { Response } from 'express';
import type { Turns } from '../../db/turns.ts';
import type { Config } from '../config/config.ts';
import { jsonTypeFor } from './json.ts';
import { sendJson } from './json-text.ts';

/** An array is written in pieces of this many UTF-16 units. A smaller one is sent whole. */
const pieceLength = 65_536;

/**
 * Sends the items as a JSON array, each as the text that `write` returns. Memory holds one piece at a time,
 * however slowly the client reads: the next items are made once it has taken the piece before. An item that fails
 * after the first piece cuts the connection: the client sees that the array is not whole.
 */
export async function sendArray<T>(
  res: Response,
  config: Config,
  items: AsyncIterable<T>,
  write: (item: T) => string,
  turns: Turns,
): Promise<void> {
  let text = '[';
  let separator = '';
  for await (const item of items) {
    text += separator + write(item);
    separator = ',';
    await turns.next();
    if (text.length < pieceLength || config.validateResponses) continue;
    if (!(await hasTaken(res, text))) return;
    text = '';
  }
  if (res.headersSent) res.end(`${text}]`);
  else sendJson(res, config, `${text}]`);
}

/** Returns whether the client has taken the text, or has room for it: it may be gone. */
async function hasTaken(res: Response, text: string): Promise<boolean> {
  if (!res.headersSent) res.setHeader('Content-Type', jsonTypeFor(res.req));
  if (res.destroyed) return false;
  if (res.write(text)) return true;
  const closed = new AbortController();
  const close = () => closed.abort();
  res.once('close', close);
  try {
    await once(res, 'drain', { signal: closed.signal });
    return true;
  } catch {
    return false;
  } finally {
    res.off('close', close);
  }
}
