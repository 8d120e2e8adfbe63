/**
 * Those who wait until a reader is done with the replies that were there when they began to wait.
 */
export class Followers {
  #followers: { left: number; wake: () => void }[] = [];

  /** Resolves when the reader asks for another reply after it has taken so many. */
  follow(left: number): Promise<void> {
    return new Promise((wake) => void this.#followers.push({ left, wake }));
  }

  /** The reader is done with what it took. */
  readerAsks(): void {
    if (this.#followers.length === 0) return;
    for (const { left, wake } of this.#followers) if (left === 0) wake();
    this.#followers = this.#followers.filter(({ left }) => left > 0);
  }

  /** The reader takes a reply. */
  readerTakes(): void {
    for (const follower of this.#followers) follower.left--;
  }

  end(): void {
    for (const { wake } of this.#followers) wake();
    this.#followers = [];
  }
}
