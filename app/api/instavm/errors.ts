import { HttpError } from '../../errors.ts';
import { AgentError } from '../../machines/agent/error.ts';

/**
 * Returns a 403 for a 400 and a 404, and for a refusal of a machine's agent: InstaVM's client shows
 * its user the message of a 403 only.
 */
export function shownToUsers(error: unknown): unknown {
  const isHidden = error instanceof HttpError ? [400, 404].includes(error.status) : error instanceof AgentError;
  return isHidden ? new HttpError(403, (error as Error).message) : error;
}
