import type { Request, Response } from 'express';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { methodOf, patternWithStars } from './faults.ts';

type Recorded = components['schemas']['TestRequests']['requests'][number];
type Noted = Omit<Recorded, 'body'> & { bytes: () => Buffer; user: number | null };

/** Which requests: a user's own, or with null everybody's; with a method and a path if they are given. */
export type Wanted = { user: number | null; method?: string | undefined; path?: string | undefined };

/** The contract's description names both. */
const maxRequests = 1000;
const maxBodyBytes = 65_536;

/** What clients have sent: the newest requests, oldest first. */
export class Recording {
  #requests: Noted[] = [];

  list(wanted: Wanted): Recorded[] {
    return this.#requests
      .filter(matching(wanted))
      .map(({ bytes, user: _, ...request }) => ({ ...request, body: bytes().toString() }));
  }

  clear(wanted: Wanted): void {
    const isWanted = matching(wanted);
    this.#requests = this.#requests.filter((request) => !isWanted(request));
  }

  /**
   * Notes a request, its body as it comes and, once it is over, the status of its answer. Returns the note, in which the
   * user is still to be put.
   */
  add(req: Request, res: Response, now: number): { user: number | null } {
    const { method, originalUrl: url, path } = req;
    const headers = req.headers as Record<string, string | string[]>;
    const bytes = keepBody(req);
    const at = isoTime(now);
    const entry: Noted = { method, url, path, headers: { ...headers }, bytes, status: null, at, user: null };
    this.#requests.push(entry);
    if (this.#requests.length > maxRequests) this.#requests.shift();
    res.once('close', () => {
      if (res.headersSent) entry.status = res.statusCode;
      // A session is started with a key in its body.
      entry.user ??= req.principal?.user.id ?? null;
    });
    return entry;
  }
}

function matching({ user, method, path }: Wanted): (request: Noted) => boolean {
  const pattern = patternWithStars(path ?? '*');
  const only = methodOf(method);
  return (request) =>
    (user ?? request.user) === request.user &&
    (only ?? request.method) === request.method &&
    pattern.test(request.path);
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
