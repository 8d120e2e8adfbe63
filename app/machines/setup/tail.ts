/** How much of what a command printed is quoted, in bytes. */
const tailBytes = 1024;

/** The end of what a command has printed. */
export class Tail {
  #bytes = Buffer.alloc(0);

  add(bytes: Buffer): void {
    this.#bytes = Buffer.from(Buffer.concat([this.#bytes, bytes.subarray(-tailBytes)]).subarray(-tailBytes));
  }

  /** Returns the words with which an error goes on: empty if nothing was printed. */
  words(): string {
    const text = this.#bytes
      .toString()
      .replace(/^\uFFFD+/, '')
      .trim();
    return text === '' ? '' : `: ${text}`;
  }
}
