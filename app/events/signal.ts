/** Wakes its one reader. A notification is kept until the reader waits. */
export class Signal {
  #isSet = false;
  #wake = () => {};

  notify(): void {
    this.#isSet = true;
    this.#wake();
  }

  clear(): void {
    this.#isSet = false;
  }

  /** Resolves at the next notification, or at once if there was one since `clear`. */
  async wait(): Promise<void> {
    if (this.#isSet) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
