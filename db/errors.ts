/**
 * `ended` and `paused`: the sandbox is there, but what was asked for needs one that lives, or runs. `full` and
 * `inaccessible`: the disk's failures, which pass when it has room or can be used again; `unusable` can't be opened at all.
 */
export type StoreErrorCode =
  | 'not_found'
  | 'ended'
  | 'paused'
  | 'conflict'
  | 'invalid'
  | 'busy'
  | 'full'
  | 'inaccessible'
  | 'unusable';

/** A failure that the caller can understand and act on. `message` is fit to be shown. */
export class StoreError extends Error {
  override name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
