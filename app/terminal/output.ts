import { fstatSync, write } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

type Chunk = { chunk: Buffer };
const newLine = Buffer.from('\n');

type Sent = (error: NodeJS.ErrnoException | null, written: number) => void;

/**
 * Standard output or standard error, written without ever blocking the process: `process.stdout` blocks on a stopped
 * terminal, and takes a write that a full disk cut short for a whole one. Texts wait in memory while a reader is slow.
 *
 * A text that can't be written is lost and the stream goes on: `lost` is emitted with the error and how many texts it
 * cost. `sent` is emitted after each write that succeeds.
 */
export class Output extends Writable {
  readonly isTTY: boolean;
  /** Why the first text was lost. */
  failure: NodeJS.ErrnoException | null = null;
  readonly #send: (bytes: Buffer, sent: Sent) => void;
  /** A write was cut short within a line: what comes next begins a new one. */
  #isMidLine = false;

  constructor(descriptor: 1 | 2) {
    super();
    this.isTTY = isatty(descriptor);
    this.#send = isFile(descriptor) ? fileSender(descriptor) : streamSender(descriptor);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this._writev([{ chunk }], done);
  }

  /** Whatever came during the last write goes out in one. */
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

  /** Ends the stream. Resolves once everything is written or lost, or `giveUp` says to wait no longer. */
  async finish(giveUp: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.end(resolve);
      giveUp.addEventListener('abort', () => resolve());
      if (giveUp.aborted) resolve();
    });
  }
}

/** Files and devices such as /dev/full; terminals, pipes and sockets are not among them. */
function isFile(descriptor: number): boolean {
  const kind = fstatSync(descriptor);
  return kind.isFile() || kind.isBlockDevice() || (kind.isCharacterDevice() && !isatty(descriptor));
}

/** Unlike Node's streams for files, goes on where a write was cut short, and so meets the error that cut it. */
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
  // Each write's callback tells of its error.
  stream.on('error', () => {});
  // Node has writes to a terminal block. Not documented; without it they do.
  const { _handle: handle } = stream as { _handle?: { setBlocking?: (on: boolean) => void } };
  if (stream.isTTY) handle?.setBlocking?.(false);
  return (bytes: Buffer, sent: Sent): void =>
    void stream.write(bytes, (error) => sent(error ?? null, error ? 0 : bytes.length));
}

/** Returns how many of the texts are not whole among the first so many bytes. */
function unfinished(texts: Buffer[], bytes: number): number {
  let end = 0;
  let whole = 0;
  for (const { length } of texts) {
    end += length;
    if (end <= bytes) whole++;
  }
  return texts.length - whole;
}
