import type { Output } from '../terminal/output.ts';

/** How much may wait for a reader that stands still; what comes then is lost. */
const maxWaitingBytes = 2 ** 20;

/**
 * Writes lines and never waits: a line that can't be written, or for which there is no room, is lost and counted. Once
 * writing works again, `onRecovery` is called with how many were lost since it was last told.
 */
export class LineOutput {
  /** Lines lost since the start. */
  lost = 0;
  onRecovery: (lost: number) => void = () => {};
  readonly #output: Output;
  readonly #shape: (line: string) => string;
  #untold = 0;
  /** Being told of right now, in a line that may be lost itself. */
  #telling = 0;

  constructor(output: Output, shape: (line: string) => string = (line) => line) {
    this.#output = output;
    this.#shape = shape;
    output.on('lost', (_error, count: number) => {
      this.#untold += this.#telling;
      this.#telling = 0;
      this.#lose(count);
    });
    output.on('sent', () => this.#tell());
  }

  write(line: string): void {
    if (this.#output.writableLength < maxWaitingBytes && !this.#output.writableEnded) {
      this.#output.write(this.#shape(line));
    } else this.#lose(1);
  }

  #lose(count: number): void {
    this.lost += count;
    this.#untold += count;
  }

  #tell(): void {
    this.#telling = 0;
    if (this.#untold === 0 || this.#output.writableLength >= maxWaitingBytes / 2) return;
    this.#telling = this.#untold;
    this.#untold = 0;
    this.onRecovery(this.#telling);
  }
}
