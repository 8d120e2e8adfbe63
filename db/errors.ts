/**
 * - `key_used`, `key_in_progress`, `key_outcome_unknown`: the request's `Idempotency-Key` belongs
 *   to another request, to one that is under way, or to a sandbox that has been deleted.
 * - `ended`, `paused`: the sandbox exists, but the operation needs one that has not ended, or is
 * running.
 * - `refused`: the request is understood, but not allowed now.
 * - `busy`: another process has the write lock, or too much work of this kind is waiting.
 * - `full`, `inaccessible`: the disk fails, until it has room or is usable again.
 * - `unusable`: the database can't be opened at all.
 */
export type StoreErrorCode =
  | 'not_found'
  | 'ended'
  | 'paused'
  | 'conflict'
  | 'key_used'
  | 'key_in_progress'
  | 'key_outcome_unknown'
  | 'invalid'
  | 'refused'
  | 'busy'
  | 'full'
  | 'inaccessible'
  | 'unusable';

/** A failure that the caller can understand and act on. `message` may be shown to users. */
export class StoreError extends Error {
  override name = 'StoreError';
  readonly code: StoreErrorCode;
  /** Whether an earlier transaction of the same operation was committed. */
  readonly isPartial: boolean;

  constructor(code: StoreErrorCode, message: string, options: ErrorOptions & { isPartial?: boolean } = {}) {
    super(message, options);
    this.code = code;
    this.isPartial = options.isPartial ?? false;
  }
}

/** Returns the error with which an operation fails that has committed a transaction before. */
export function afterCommit(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  return new StoreError(error.code, error.message, { cause: error, isPartial: true });
}
