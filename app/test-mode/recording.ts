import type { Request, Response } from 'express';
import type { components } from '../../spec/types.gen.ts';
import { isoTime } from '../wire.ts';

type Recorded = components['schemas']['TestRequests']['requests'][number];
type Noted = Omit<Recorded, 'body'> & { bytes: () => Buffer };

/** The contract's description names both. */
const maxRequests = 1000;
const maxBodyBytes = 65_536;

/** What clients have sent: the newest requests, oldest first. */
export class Recording {
  #requests: Noted[] = [];

  list(): Recorded[] {
    return this.#requests.map(({ bytes, ...request }) => ({ ...request, body: bytes().toString() }));
  }

  clear(): void {
    this.#requests = [];
  }

  /** Notes a request, its body as it comes and, once it is over, the status of its answer. */
  add(req: Request, res: Response, now: number): void {
    const { method, originalUrl: url, path } = req;
    const headers = req.headers as Record<string, string | string[]>;
    const bytes = keepBody(req);
    const entry: Noted = { method, url, path, headers: { ...headers }, bytes, status: null, at: isoTime(now) };
    this.#requests.push(entry);
    if (this.#requests.length > maxRequests) this.#requests.shift();
    res.once('close', () => {
      if (res.headersSent) entry.status = res.statusCode;
    });
  }
}

/** Listening for the body would start it flowing before whoever reads it is there: what is put into the stream is noted. */
function keepBody(req: Request): () => Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  const push = req.push.bind(req);
  req.push = (chunk, encoding) => {
    if (Buffer.isBuffer(chunk) && size < maxBodyBytes) {
      const kept = chunk.subarray(0, maxBodyBytes - size);
      // A copy: node uses the memory again.
      chunks.push(Buffer.from(kept));
      size += kept.length;
    }
    return push(chunk, encoding);
  };
  return () => Buffer.concat(chunks);
}
