import type { Request, Response } from 'express';
import { maxRecordedBytes, maxRecordedRequests } from '../../../spec/limits.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { methodOf, patternWithStars } from './faults.ts';

type RecordedRequest = components['schemas']['TestRequests']['requests'][number];
type Entry = Omit<RecordedRequest, 'body'> & { bytes: () => Buffer; userId: number | null };

/** Selects a user's requests (with null, all), optionally of one method or path. */
export type RequestFilter = { userId: number | null; method?: string | undefined; path?: string | undefined };

/** The newest requests that clients have sent, oldest first. */
export class Recording {
  #entries: Entry[] = [];

  list(filter: RequestFilter): RecordedRequest[] {
    return this.#entries
      .filter(matcher(filter))
      .map(({ bytes, userId: _, ...request }) => ({ ...request, body: bytes().toString() }));
  }

  clear(filter: RequestFilter): void {
    const matches = matcher(filter);
    this.#entries = this.#entries.filter((entry) => !matches(entry));
  }

  /**
   * Records a request, its body as it arrives and, at the end, the status of its response.
   * Returns the entry; the caller sets its `userId`.
   */
  add(req: Request, res: Response, now: number): { userId: number | null } {
    const { method, originalUrl: url, path } = req;
    const entry: Entry = {
      method,
      url,
      path,
      headers: { ...(req.headers as Record<string, string | string[]>) },
      bytes: keepBody(req),
      status: null,
      at: isoTime(now),
      userId: null,
    };
    this.#entries.push(entry);
    if (this.#entries.length > maxRecordedRequests) this.#entries.shift();
    res.once('close', () => {
      if (res.headersSent) entry.status = res.statusCode;
      // POST /v1/sessions/session has the API key in its body, so its user is known only now.
      entry.userId ??= req.principal?.user.id ?? null;
    });
    return entry;
  }
}

function matcher({ userId, method, path }: RequestFilter): (entry: Entry) => boolean {
  const pattern = patternWithStars(path ?? '*');
  const only = methodOf(method);
  return (entry) =>
    (userId ?? entry.userId) === entry.userId && (only ?? entry.method) === entry.method && pattern.test(entry.path);
}

/**
 * Returns a function that returns the body's first 64 KiB, as received so far. It intercepts
 * `push`: a listener for `data` would start the stream before the body parser listens.
 */
function keepBody(req: Request): () => Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  const push = req.push.bind(req);
  req.push = (chunk, encoding) => {
    if (Buffer.isBuffer(chunk) && size < maxRecordedBytes) {
      const kept = chunk.subarray(0, maxRecordedBytes - size);
      // Copied, because Node reuses the chunk's memory.
      chunks.push(Buffer.from(kept));
      size += kept.length;
    }
    return push(chunk, encoding);
  };
  return () => Buffer.concat(chunks);
}
