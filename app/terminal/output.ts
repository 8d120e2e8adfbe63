import { fstatSync, write } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

type Chunk = { chunk: Buffer };
const newLine = Buffer.from('\n');

type Sent = (error: NodeJS.ErrnoException | null, written: number) => void;

/**
 * Standard output or standard error, written without blocking the process. (`process.stdout` blocks
 * on a stopped terminal, and takes a write that a full disk cut short for a complete one.) Texts
 * wait in memory while a reader is slow.
 *
 * A text that cannot be written is lost, and the stream goes on: it emits `lost` with the error and
 * the number of lost texts. It emits `sent` after each successful write.
 */
export class Output extends Writable {
  readonly isTTY: boolean;
  /** The error that lost the first text. */
  failure: NodeJS.ErrnoException | null = null;
  readonly #send: (bytes: Buffer, sent: Sent) => void;
  /** Whether a write was cut short within a line. The next text then starts on a new line. */
  #isMidLine = false;

  constructor(descriptor: 1 | 2) {
    super();
    this.isTTY = isatty(descriptor);
    this.#send = isFile(descriptor) ? fileSender(descriptor) : streamSender(descriptor);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this._writev([{ chunk }], done);
  }

  /** Writes all texts that arrived during the last write at once. */
  override _writev(chunks: Chunk[], done: () => void): void {
    const texts = chunks.map(({ chunk }) => chunk);
    const before = this.#isMidLine ? [newLine] : [];
    const bytes = Buffer.concat([...before, ...texts]);
    this.#send(bytes, (error, written) => {
      if (written > 0) this.#isMidLine = error !== null && bytes[written - 1] !== newLine[0];
      if (error) {
        this.failure ??= error;
        this.emit('lost', error, unfinished(texts, written - before.length));
      } else this.emit('sent');
      done();
    });
  }

  /** Ends the stream. Resolves when everything is written or lost, or when `giveUp` aborts. */
  async finish(giveUp: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.end(resolve);
      giveUp.addEventListener('abort', () => resolve());
      if (giveUp.aborted) resolve();
    });
  }
}

/**
 * Returns whether the descriptor is a file or a device such as /dev/full: not a terminal, pipe or
 * socket.
 */
function isFile(descriptor: number): boolean {
  const kind = fstatSync(descriptor);
  return kind.isFile() || kind.isBlockDevice() || (kind.isCharacterDevice() && !isatty(descriptor));
}

/**
 * Continues after a write that was cut short, to get the error that cut it. Node's file streams do
 * not.
 */
function fileSender(descriptor: number) {
  return function send(bytes: Buffer, sent: Sent, before = 0): void {
    write(descriptor, bytes, (error, written) => {
      if (error) sent(error, before);
      else if (written < bytes.length) send(bytes.subarray(written), sent, before + written);
      else sent(null, before + written);
    });
  };
}

function streamSender(descriptor: 1 | 2) {
  const stream = descriptor === 1 ? process.stdout : process.stderr;
  // Each write's callback gets its error.
  stream.on('error', () => {});
  // Node's writes to a terminal block. This undocumented call makes them asynchronous.
  const { _handle: handle } = stream as { _handle?: { setBlocking?: (on: boolean) => void } };
  if (stream.isTTY) handle?.setBlocking?.(false);
  return (bytes: Buffer, sent: Sent): void =>
    void stream.write(bytes, (error) => sent(error ?? null, error ? 0 : bytes.length));
}

/** Returns the number of texts that do not fit whole into the first `bytes` bytes. */
function unfinished(texts: Buffer[], bytes: number): number {
  let end = 0;
  let whole = 0;
  for (const { length } of texts) {
    end += length;
    if (end <= bytes) whole++;
  }
  return texts.length - whole;
}
