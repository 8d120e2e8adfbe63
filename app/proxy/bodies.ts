import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';

const decoders = new Map(
  Object.entries({
    gzip: promisify(gunzip),
    'x-gzip': promisify(gunzip),
    deflate: promisify(inflate),
    br: promisify(brotliDecompress),
    zstd: promisify(zstdDecompress),
  }),
);

/**
 * Resolves to the first `limit` bytes of a message that somebody else reads, and whether there were more; to null where
 * it broke off.
 */
export function collected(message: IncomingMessage, limit: number): Promise<{ bytes: Buffer; isCut: boolean } | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  const keep = (chunk: Buffer) => {
    if (length < limit) chunks.push(chunk.subarray(0, limit - length));
    length += chunk.length;
  };
  if (limit > 0) message.on('data', keep);
  return new Promise((resolve) => {
    message.once('end', () => resolve({ bytes: Buffer.concat(chunks), isCut: length > limit }));
    message.once('close', () => resolve(null));
  });
}

/**
 * Resolves to what a body stands for after its `Content-Encoding`; to null where that is not known or gives more than
 * `limit` bytes, to an Error that says so where the body isn't what it is said to be.
 */
export async function decoded(body: Buffer, encoding = '', limit: number): Promise<Buffer | Error | null> {
  const codings = encoding
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim());
  let bytes = body;
  for (const coding of codings.toReversed()) {
    if (coding === '' || coding === 'identity') continue;
    const decode = decoders.get(coding);
    if (!decode) return null;
    try {
      bytes = await decode(bytes, { maxOutputLength: limit });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null;
      return new Error(`the body is not ${coding}, as its Content-Encoding says`);
    }
  }
  return bytes;
}
