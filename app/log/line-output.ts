import type { Output } from '../terminal/output.ts';

/** Bytes that may wait for a slow reader. Lines beyond them are lost. */
const maxWaitingBytes = 2 ** 20;

/**
 * Writes lines without ever waiting. A line that cannot be written, or for which there is no room,
 * is lost and counted. When writing works again, `onRecovery` is called with the number of lines
 * lost since its last call.
 */
export class LineOutput {
  /** Lines lost since the start. */
  lost = 0;
  onRecovery: (lost: number) => void = () => {};
  readonly #output: Output;
  readonly #format: (line: string) => string;
  #unreported = 0;
  /** The number in the report that is being written. The report may be lost as well. */
  #reporting = 0;

  constructor(output: Output, format: (line: string) => string = (line) => line) {
    this.#output = output;
    this.#format = format;
    output.on('lost', (_error, count: number) => {
      this.#unreported += this.#reporting;
      this.#reporting = 0;
      this.#lose(count);
    });
    output.on('sent', () => this.#report());
  }

  write(line: string): void {
    if (this.#output.writableLength < maxWaitingBytes && !this.#output.writableEnded) {
      this.#output.write(this.#format(line));
    } else this.#lose(1);
  }

  #lose(count: number): void {
    this.lost += count;
    this.#unreported += count;
  }

  #report(): void {
    this.#reporting = 0;
    if (this.#unreported === 0 || this.#output.writableLength >= maxWaitingBytes / 2) return;
    this.#reporting = this.#unreported;
    this.#unreported = 0;
    this.onRecovery(this.#reporting);
  }
}
