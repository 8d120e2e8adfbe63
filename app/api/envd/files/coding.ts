import type { Request } from 'express';
import { HttpError } from '../../../errors.ts';

/**
 * Returns the content coding of a download. It is gzip if the client accepts no other coding (as
 * E2B's clients ask for it) or refuses uncompressed content. HTTP libraries list several codings by
 * themselves; they get the file as it is, because compressing a large one takes longer than sending
 * it. Throws HttpError 406 if the client accepts neither.
 */
export function contentCoding(req: Request): 'gzip' | 'identity' {
  if (req.headers['accept-encoding'] === undefined) return 'identity';
  const accepted = req.acceptsEncodings();
  const isPlainAccepted = req.acceptsEncodings('identity') !== false;
  const others = accepted.filter((coding) => coding !== 'identity' && coding !== '*');
  const isGzipAccepted = req.acceptsEncodings('gzip') !== false;
  if (!isPlainAccepted && !isGzipAccepted) throw new HttpError(406, 'Accept gzip or identity as the content coding');
  if (!isPlainAccepted) return 'gzip';
  return others.join() === 'gzip' && accepted[0] === 'gzip' ? 'gzip' : 'identity';
}

/** Returns whether a body is compressed. Throws HttpError 400 for another coding than gzip. */
export function isCompressed({ headers }: Request): boolean {
  const coding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (coding === 'identity' || coding === '') return false;
  if (coding === 'gzip' || coding === 'x-gzip') return true;
  throw new HttpError(400, `The Content-Encoding ${coding} is not supported: send gzip, or no coding`);
}
