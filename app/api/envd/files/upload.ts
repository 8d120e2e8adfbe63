import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { parse as parseContentType } from 'content-type';
import type { Request } from 'express';
import { HttpError } from '../../../errors.ts';
import { contentTypeOf } from '../../../http/content-type.ts';
import { bodyPieces } from '../../../http/streams/body.ts';
import { writeFile } from '../../../machines/agent/files.ts';
import type { Target } from '../target.ts';
import { isCompressed } from './coding.ts';
import { writeForm } from './multipart.ts';
import { checkedPath } from './paths.ts';
import { type Written, written } from './written.ts';

/** A compressed body is written in pieces of this length, as other bodies arrive. */
const pieceBytes = 65_536;

/**
 * Writes the files of a request as they arrive, no faster than the machine takes them. Nothing
 * bounds their length but the machine's disk. `seconds` is how long the client may send nothing.
 * Throws HttpError, AgentError and MachineError.
 */
export async function receiveFiles(
  target: Target,
  req: Request,
  seconds: number,
  signal: AbortSignal,
): Promise<Written[]> {
  const path = req.query.path === undefined ? undefined : checkedPath(String(req.query.path));
  const agent = await target.agent();
  const metadata = metadataOf(req);
  const write = async (to: string, content: AsyncIterable<Buffer>) =>
    written(await writeFile(agent, target.user, to, content, metadata, signal));
  const { type } = parseContentType(contentTypeOf(req), { parameters: false });
  if (type === 'multipart/form-data') {
    const body = unpacked(req, bodyPieces(req, seconds));
    return writeForm({ agent, user: target.user, req, body, path, write, signal });
  }
  if (type !== 'application/octet-stream') {
    throw new HttpError(400, 'Send multipart/form-data or application/octet-stream');
  }
  if (path === undefined) throw new HttpError(400, 'Name the file in the query parameter path');
  return [await write(path, unpacked(req, bodyPieces(req, seconds)))];
}

/** Returns the metadata in the headers `X-Metadata-<key>`. Keys are in lower case, as in E2B. */
function metadataOf({ headersDistinct }: Request): Record<string, string> {
  const prefix = 'x-metadata-';
  return Object.fromEntries(
    Object.entries(headersDistinct).flatMap(([name, values]) =>
      name.startsWith(prefix) && name.length > prefix.length ? [[name.slice(prefix.length), values?.[0] ?? '']] : [],
    ),
  );
}

/** Returns the body without its Content-Encoding. Throws HttpError 400, also while it is read. */
function unpacked(req: Request, body: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  if (!isCompressed(req)) return body;
  const plain = createGunzip({ chunkSize: pieceBytes });
  pipeline(body, plain).catch(() => {
    // Whoever reads it gets the error.
  });
  return readable(plain);
}

async function* readable(plain: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* plain;
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^Z_/.test(String(error.code))) {
      throw new HttpError(400, 'The body is not gzip, as its Content-Encoding says', { Connection: 'close' });
    }
    throw error;
  }
}
