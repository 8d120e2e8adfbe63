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
 * Collects a message's body while it is piped elsewhere. Resolves to its first `limit` bytes and
 * whether there were more, or to null when the message breaks off.
 */
export function collectBody(
  message: IncomingMessage,
  limit: number,
): Promise<{ bytes: Buffer; isTruncated: boolean } | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  const keep = (chunk: Buffer) => {
    if (length < limit) chunks.push(chunk.subarray(0, limit - length));
    length += chunk.length;
  };
  if (limit > 0) message.on('data', keep);
  return new Promise((resolve) => {
    message.once('end', () => resolve({ bytes: Buffer.concat(chunks), isTruncated: length > limit }));
    message.once('close', () => resolve(null));
  });
}

/**
 * Decodes a body by its `Content-Encoding`. Resolves to null for an unknown encoding and for more
 * than `limit` bytes, and to an Error when the body is not encoded as declared.
 */
export async function decodeBody(body: Buffer, encoding = '', limit: number): Promise<Buffer | Error | null> {
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
