/** Keeps the beginning of a text, up to a length in UTF-16 units, and says how much it left out. */
export class LimitedText {
  readonly #most: number;
  #parts: string[] = [];
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(text: string): void {
    const room = this.#most - this.#length;
    if (room > 0) this.#parts.push(text.slice(0, room));
    this.#length += text.length;
  }

  toString(): string {
    const left = this.#length - this.#most;
    const note = left > 0 ? `\n[${left} more characters were left out: write long output to a file]\n` : '';
    return this.#parts.join('') + note;
  }
}
