import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { MachineError } from '../error.ts';

const headerBytes = 8;
const standardError = 2;
/** How much of the relay's standard error is kept, in characters. */
const mostWords = 500;

type Done = (error?: Error | null) => void;

/**
 * The connection to `agent relay`: writes what it is given, and takes the relay's standard output
 * out of the frames in which the engine wraps it (Docker's API, "Attach to a container": stream
 * type, three zeros, `u32` big-endian length). It copies no payload, and stops reading when nobody
 * reads.
 */
export class RelayStream extends Duplex {
  readonly #socket: Socket;
  /** The part of a header that has arrived. */
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  /** The bytes of the current frame that are still to come. */
  #missing = 0;
  #words = '';
  #hasEnded = false;

  constructor(socket: Socket) {
    super({ highWaterMark: 262_144, allowHalfOpen: false });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.once('end', () => {
      this.#hasEnded = true;
      this.push(null);
    });
    socket.on('error', (error) => this.destroy(gone(error)));
    socket.once('close', () => {
      if (!this.#hasEnded) this.destroy(gone());
    });
    socket.pause();
  }

  /** What the relay said on standard error. It comes from the machine: it is untrusted. */
  get words(): string {
    return this.#words.trim();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#socket.cork();
    chunks.forEach(({ chunk }, n) => void this.#socket.write(chunk, n === chunks.length - 1 ? done : undefined));
    this.#socket.uncork();
  }

  override _final(done: Done): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#missing === 0) at = this.#takeHeader(chunk, at);
      if (this.#missing === 0) continue;
      const part = chunk.subarray(at, at + this.#missing);
      if (part.length === 0) return;
      at += part.length;
      this.#missing -= part.length;
      this.#deliver(part);
    }
  }

  /** Takes what there is of a header. Returns the position after it. */
  #takeHeader(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + headerBytes - this.#headerLength);
    chunk.copy(this.#header, this.#headerLength, at, end);
    this.#headerLength += end - at;
    if (this.#headerLength === headerBytes) {
      this.#headerLength = 0;
      this.#missing = this.#header.readUInt32BE(4);
    }
    return end;
  }

  #deliver(part: Buffer): void {
    if (this.#header[0] !== standardError) {
      if (!this.push(part)) this.#socket.pause();
    } else if (this.#words.length < mostWords) {
      this.#words += part.toString('utf8', 0, mostWords - this.#words.length);
    }
  }
}

function gone(cause?: Error): MachineError {
  return new MachineError('gone', 'the connection to the machine broke', { cause });
}
