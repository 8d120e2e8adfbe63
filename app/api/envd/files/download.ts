import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import { create as contentDisposition } from 'content-disposition';
import type { Request, Response } from 'express';
import { HttpError } from '../../../errors.ts';
import { sendPieces } from '../../../http/streams/send.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import type { Entry } from '../../../machines/agent/entry.ts';
import { readFile, statFile } from '../../../machines/agent/files.ts';
import type { Target } from '../target.ts';
import { contentCoding } from './coding.ts';
import { checkedPath, refuseOther } from './paths.ts';
import { isConditional, isUnchanged, rangeOf } from './ranges.ts';

type Content = AsyncIterable<Buffer>;

/** Compressed content is sent in pieces of this length, as other content arrives. */
const pieceBytes = 65_536;

/**
 * Sends a file as it is read, no faster than the client takes it. A request with a range or a
 * condition gets no compression. Throws HttpError, AgentError and MachineError.
 */
export async function sendFile(target: Target, req: Request, res: Response, closed: AbortSignal): Promise<void> {
  const path = checkedPath(String(req.query.path ?? ''));
  const agent = await target.agent();
  if (isConditional(req)) return sendPart(agent, target.user, path, req, res, closed);
  const { entry, content } = await readFile(agent, target.user, path, undefined, closed);
  const file = await followed(agent, target.user, entry, closed);
  const coding = contentCoding(req);
  describe(res, file, path);
  await send(res, content, file.size, coding, closed);
}

async function sendPart(
  agent: Agent,
  user: string,
  path: string,
  req: Request,
  res: Response,
  closed: AbortSignal,
): Promise<void> {
  const file = await followed(agent, user, await statFile(agent, user, path, closed), closed);
  refuseOther(file, path);
  describe(res, file, path);
  if (isUnchanged(req, res)) return void res.status(304).end();
  const range = rangeOf(req, res, file.size);
  const { content } = await readFile(agent, user, path, range ?? undefined, closed);
  if (range) {
    res.status(206).set('Content-Range', `bytes ${range.offset}-${range.offset + range.length - 1}/${file.size}`);
  }
  await send(res, content, range?.length ?? file.size, 'identity', closed);
}

/** Returns the file that a link leads to; any other file as it is. */
async function followed(agent: Agent, user: string, entry: Entry, closed: AbortSignal): Promise<Entry> {
  return entry.symlinkTarget === null ? entry : statFile(agent, user, entry.symlinkTarget, closed);
}

function describe(res: Response, { modifiedAt }: Entry, path: string): void {
  const name = posix.basename(path);
  const changed = new Date(modifiedAt);
  res.type(posix.extname(name) || 'application/octet-stream');
  if (!res.hasHeader('Content-Type')) res.type('application/octet-stream');
  res.set({ 'Accept-Ranges': 'bytes', 'Content-Disposition': contentDisposition(name, { type: 'inline' }) });
  if (!Number.isNaN(changed.getTime())) res.set('Last-Modified', changed.toUTCString());
  res.vary('Accept-Encoding');
}

/**
 * Sends `length` bytes of content. The first ones are read before the headers are sent, so that a
 * file that can't be read gets an error, and a small one that is written meanwhile its true length.
 */
async function send(
  res: Response,
  content: Content,
  length: number,
  coding: 'gzip' | 'identity',
  closed: AbortSignal,
): Promise<void> {
  const pieces = content[Symbol.asyncIterator]();
  const begun = [await pieces.next(), await pieces.next()];
  const isWhole = begun[1]?.done === true;
  const whole = startingWith(begun, pieces);
  if (coding === 'gzip' && !begun[0]?.done) {
    res.set('Content-Encoding', 'gzip');
    return sendPieces(res, compressed(whole), closed);
  }
  // Files in /proc have no size, and content.
  const size = isWhole && res.statusCode === 200 ? (begun[0]?.value?.length ?? 0) : length;
  if (size === 0 && !isWhole) return sendPieces(res, whole, closed);
  res.set('Content-Length', String(size));
  await sendPieces(res, exactly(size, whole), closed);
}

function compressed(content: Content): Content {
  const gzip = createGzip({ level: constants.Z_BEST_SPEED, chunkSize: pieceBytes });
  pipeline(content, gzip).catch(() => {
    // Whoever reads it gets the error.
  });
  return gzip;
}

async function* startingWith(begun: IteratorResult<Buffer>[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    for (const { done, value } of begun) if (!done) yield value;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/**
 * Yields as many bytes as were promised, although the file may grow meanwhile. Throws HttpError 503
 * if it has become shorter. After the first bytes that cuts the connection: the client could not
 * tell otherwise.
 */
async function* exactly(length: number, content: Content): AsyncGenerator<Buffer> {
  let left = length;
  for await (const piece of content) {
    yield piece.subarray(0, left);
    left -= piece.length;
    if (left <= 0) return;
  }
  if (left > 0) throw new HttpError(503, 'The file became shorter while it was read', { 'Retry-After': '1' });
}
