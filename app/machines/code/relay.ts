/**
 * Hands items from one side to another that may be slower: `put` resolves once the item was taken,
 * or once nobody takes any more.
 */
export class Relay<T> implements AsyncIterable<T> {
  #item: { value: T; taken: () => void } | null = null;
  #arrived = Promise.withResolvers<void>();
  #isClosed = false;

  /** Call it again only once it has resolved. */
  put(value: T): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#item = { value, taken: resolve };
    this.#arrived.resolve();
    return promise;
  }

  /** Ends the iteration, and drops what waits. */
  close(): void {
    this.#isClosed = true;
    this.#item?.taken();
    this.#item = null;
    this.#arrived.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    while (true) {
      await this.#arrived.promise;
      const item = this.#item;
      if (item === null) return;
      this.#item = null;
      this.#arrived = Promise.withResolvers();
      if (this.#isClosed) this.#arrived.resolve();
      item.taken();
      yield item.value;
    }
  }
}
