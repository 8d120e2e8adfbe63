import { MachineError } from '../error.ts';

/** The types of frames in `PROTOCOL.md`. */
export const frameTypes = {
  hello: 1,
  open: 2,
  data: 3,
  stderr: 4,
  end: 5,
  credit: 6,
  cancel: 7,
  message: 8,
  done: 9,
  error: 10,
} as const;

export const headerBytes = 9;
/** The longest payload of a frame; OPEN's may be longer. */
export const maxPayload = 65_536;
export const maxOpenPayload = 1_048_576;
/** How many bytes of payload each side of a call may send before the other grants more. */
export const initialCredit = 262_144;

/** Receives a frame; of DATA and STDERR the pieces of its payload, in order. */
export type FrameReceiver = (call: number, type: number, payload: Buffer) => void;

/** Returns the error for an agent that breaks the protocol. */
export function protocolError(problem: string): MachineError {
  return new MachineError('failed', `The agent of the sandbox broke its protocol: ${problem}.`);
}

/** Returns a frame's header. */
export function frameHeader(call: number, type: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header.writeUInt32LE(call, 0);
  header[4] = type;
  header.writeUInt32LE(length, 5);
  return header;
}

/**
 * Cuts the agent's bytes into frames. It copies only payloads that must be whole and arrive in
 * parts, so it holds at most one payload of 64 KiB.
 */
export class FrameReader {
  readonly #receive: FrameReceiver;
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  #isInPayload = false;
  #call = 0;
  #type = 0;
  /** bytes of the payload that have not arrived */
  #missing = 0;
  /** the payload that is being put together */
  #whole: Buffer | null = null;

  constructor(receive: FrameReceiver) {
    this.#receive = receive;
  }

  /**
   * Returns how many frames began. Throws MachineError for a broken frame, and what the receiver
   * throws.
   */
  push(chunk: Buffer): number {
    let frames = 0;
    for (let at = 0; at < chunk.length; ) {
      if (!this.#isInPayload) {
        at = this.#takeHeader(chunk, at);
        if (!this.#isInPayload) break;
        frames++;
      }
      at = this.#takePayload(chunk, at);
    }
    return frames;
  }

  /** Returns where the payload begins, or the chunk's end if the header is incomplete. */
  #takeHeader(chunk: Buffer, at: number): number {
    if (this.#headerLength === 0 && chunk.length - at >= headerBytes) {
      this.#begin(chunk, at);
      return at + headerBytes;
    }
    const copied = chunk.copy(this.#header, this.#headerLength, at, at + headerBytes - this.#headerLength);
    this.#headerLength += copied;
    if (this.#headerLength === headerBytes) {
      this.#headerLength = 0;
      this.#begin(this.#header, 0);
    }
    return at + copied;
  }

  #begin(header: Buffer, at: number): void {
    this.#call = header.readUInt32LE(at);
    this.#type = header[at + 4] as number;
    this.#missing = header.readUInt32LE(at + 5);
    if (!isFromAgent(this.#type)) throw protocolError(`it sent a frame of type ${this.#type}`);
    if (this.#missing > maxPayload) throw protocolError(`it announced a frame of ${this.#missing} bytes`);
    this.#isInPayload = true;
  }

  /** Returns where the payload, or the chunk, ends. */
  #takePayload(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#missing, chunk.length);
    const piece = chunk.subarray(at, end);
    this.#missing -= piece.length;
    this.#isInPayload = this.#missing > 0;
    if (this.#type === frameTypes.data || this.#type === frameTypes.stderr) {
      if (piece.length > 0) this.#receive(this.#call, this.#type, piece);
    } else {
      const whole = this.#join(piece);
      if (whole !== null) this.#receive(this.#call, this.#type, whole);
    }
    return end;
  }

  /** Returns the whole payload once its last piece is here, or null. */
  #join(piece: Buffer): Buffer | null {
    if (this.#whole === null && this.#missing === 0) return piece;
    this.#whole ??= Buffer.allocUnsafeSlow(piece.length + this.#missing);
    piece.copy(this.#whole, this.#whole.length - this.#missing - piece.length);
    if (this.#missing > 0) return null;
    const whole = this.#whole;
    this.#whole = null;
    return whole;
  }
}

function isFromAgent(type: number): boolean {
  return type >= frameTypes.hello && type <= frameTypes.error && !fromServerOnly.has(type);
}

const fromServerOnly: ReadonlySet<number> = new Set([frameTypes.open, frameTypes.end, frameTypes.cancel]);
