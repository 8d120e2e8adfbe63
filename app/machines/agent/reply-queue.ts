import { protocolError } from './frames.ts';

/** A frame of a call that the agent sent. DATA, STDERR and MESSAGE come before DONE. */
export type Reply = { type: 'data' | 'stderr' | 'message' | 'done'; payload: Buffer };

/** Smaller payloads are copied: a slice would keep the whole chunk that it arrived in. */
const copyBelow = 32_768;
const blockBytes = 16_384;
/** More than an agent has credit for: its shortest message, a change to a file, has 6 bytes. */
const maxMessages = 65_536;

/** Where a payload is: small ones lie one after another in shared blocks. */
type Place = { type: Reply['type']; bytes: Buffer; start: number; end: number };

/**
 * What the agent sent on one call and nobody has read yet. Its memory is a small multiple of the
 * payloads, however the agent cuts them into frames: small pieces of output are joined.
 */
export class ReplyQueue {
  #places: Place[] = [];
  #first = 0;
  #messages = 0;
  #block: Buffer | null = null;
  #used = 0;

  get isEmpty(): boolean {
    return this.length === 0;
  }

  get length(): number {
    return this.#places.length - this.#first;
  }

  /** Throws MachineError if there are too many messages. */
  push(type: Reply['type'], payload: Buffer): void {
    if (type === 'message' && ++this.#messages > maxMessages) throw protocolError('it sent too many messages');
    if (payload.length >= copyBelow) {
      this.#places.push({ type, bytes: payload, start: 0, end: payload.length });
      return;
    }
    const bytes = this.#blockFor(payload.length);
    const start = this.#used;
    payload.copy(bytes, start);
    this.#used += payload.length;
    if (!this.#extendLast(type, bytes, start)) this.#places.push({ type, bytes, start, end: this.#used });
  }

  /** Removes and returns the oldest reply. */
  shift(): Reply | undefined {
    const place = this.#places[this.#first];
    if (place === undefined) return undefined;
    this.#first++;
    if (place.type === 'message') this.#messages--;
    if (this.isEmpty) this.clear();
    else if (this.#first >= 16 && this.#first * 2 >= this.#places.length) this.#compact();
    return { type: place.type, payload: place.bytes.subarray(place.start, place.end) };
  }

  clear(): void {
    this.#places = [];
    this.#first = 0;
    this.#messages = 0;
    this.#block = null;
    this.#used = 0;
  }

  /** Lets go of what was read. */
  #compact(): void {
    this.#places = this.#places.slice(this.#first);
    this.#first = 0;
  }

  #blockFor(length: number): Buffer {
    if (this.#block === null || this.#used + length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, length));
      this.#used = 0;
    }
    return this.#block;
  }

  /** Joins output to the last piece if that ends where this one starts. */
  #extendLast(type: Reply['type'], bytes: Buffer, start: number): boolean {
    const last = this.#places.at(-1);
    if (last === undefined || last.type !== type || (type !== 'data' && type !== 'stderr')) return false;
    if (last.bytes !== bytes || last.end !== start) return false;
    last.end = this.#used;
    return true;
  }
}
