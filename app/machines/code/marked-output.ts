/**
 * What a program of `programs/` says between the output of the code it runs: `ready` once, then for
 * each piece of code `began`, Jupyter's `execute_result`, `display_data`, `update_display_data` and
 * `error`, and `done` on both streams.
 */
export type Message = { type: string; content: Record<string, unknown> };

/** What clients are told of a `too_large`. */
export const tooLarge = 'The result is larger than 32 MiB: write it to a file';
/** A longer message is left out, and `too_large` comes instead. */
const maxMessageBytes = 32 * 2 ** 20;
/** PIPE_BUF of pipe(7). */
const maxPieceBytes = 4096;
const nul = 0;
const [lastPiece, morePieces] = ['.', '+'].map((sign) => sign.charCodeAt(0));

/**
 * Takes messages out of the output of one stream of a program. A message is NUL, the mark, a sign,
 * a piece of JSON text in ASCII, and NUL; the sign `.` ends it, and `+` says that its text goes on
 * in the next one. No piece is longer than what the kernel writes to a pipe at once, so output of
 * other programs comes between pieces and never into one.
 */
export class MarkedOutput {
  readonly #begin: Buffer;
  /** The end of what was pushed, if it may belong to a message. */
  #rest = Buffer.alloc(0);
  #pieces: string[] = [];
  #length = 0;

  constructor(mark: string) {
    this.#begin = Buffer.from(`\0${mark}`);
  }

  /** Yields the output and the messages in the order in which they came. */
  *push(chunk: Buffer): Generator<Buffer | Message> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    while (bytes.length > 0) {
      const at = bytes.indexOf(this.#begin);
      if (at === -1) {
        const kept = tailOf(bytes, this.#begin);
        if (kept < bytes.length) yield bytes.subarray(0, bytes.length - kept);
        this.#rest = Buffer.from(bytes.subarray(bytes.length - kept));
        return;
      }
      if (at > 0) yield bytes.subarray(0, at);
      const textAt = at + this.#begin.length + 1;
      const end = bytes.indexOf(nul, textAt);
      if (end === -1 && bytes.length - at > maxPieceBytes) {
        // No program of `programs/` writes this.
        yield bytes.subarray(at);
        return;
      }
      if (end === -1) {
        this.#rest = Buffer.from(bytes.subarray(at));
        return;
      }
      const message = this.#add(bytes[textAt - 1], bytes.toString('latin1', textAt, end));
      if (message) yield message;
      bytes = bytes.subarray(end + 1);
    }
  }

  /** Returns the message that this piece ends, or null. */
  #add(sign: number | undefined, text: string): Message | null {
    if (sign !== lastPiece && sign !== morePieces) return null;
    this.#length += text.length;
    if (this.#length <= maxMessageBytes) this.#pieces.push(text);
    if (sign === morePieces) return null;
    const whole = this.#pieces.join('');
    const isTooLarge = this.#length > maxMessageBytes;
    this.#pieces = [];
    this.#length = 0;
    return isTooLarge ? { type: 'too_large', content: {} } : messageIn(whole);
  }
}

/** Returns null for a text of code that has found out the mark. */
function messageIn(text: string): Message | null {
  try {
    const { type, content } = JSON.parse(text);
    return typeof type === 'string' && typeof content === 'object' && content !== null ? { type, content } : null;
  } catch {
    return null;
  }
}

/** Returns how many bytes at the end may be the beginning of a mark. */
function tailOf(bytes: Buffer, begin: Buffer): number {
  const from = Math.max(0, bytes.length - begin.length + 1);
  for (let at = bytes.indexOf(nul, from); at !== -1; at = bytes.indexOf(nul, at + 1)) {
    if (begin.subarray(0, bytes.length - at).equals(bytes.subarray(at))) return bytes.length - at;
  }
  return 0;
}
