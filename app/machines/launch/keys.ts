import { StoreError } from '../../../db/errors.ts';
import type { KeyedRequest } from '../../../db/sandboxes/idempotency.ts';

/** The `Idempotency-Key`s of requests that start machines and are under way. */
export class KeysUnderWay {
  /** The hash of each request, by its owner and key. */
  readonly #hashes = new Map<string, Buffer>();

  /**
   * Does the work of a request. Throws StoreError `key_in_progress` while the same request of this
   * owner is under way, `key_used` while another with its key is.
   */
  async run<T>(ownerId: number, keyed: KeyedRequest | null, work: () => Promise<T>): Promise<T> {
    if (!keyed) return work();
    const key = `${ownerId} ${keyed.key}`;
    const underWay = this.#hashes.get(key);
    if (underWay) throw inProgress(underWay.equals(keyed.hash));
    this.#hashes.set(key, keyed.hash);
    try {
      return await work();
    } finally {
      this.#hashes.delete(key);
    }
  }
}

function inProgress(isSame: boolean): StoreError {
  return isSame
    ? new StoreError(
        'key_in_progress',
        'A request with this Idempotency-Key is under way: repeat it when that has ended',
      )
    : new StoreError('key_used', 'This Idempotency-Key was used for another request: use a new key');
}
