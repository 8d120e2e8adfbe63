import { HttpError } from '../../errors.ts';

/** Returns a 403 for a 404, of which InstaVM's client would not show the message to its user. */
export function shownToUsers(error: unknown): unknown {
  return error instanceof HttpError && error.status === 404 ? new HttpError(403, error.message) : error;
}
