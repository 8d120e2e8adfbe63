import { AgentError } from './error.ts';
import { maxOpenPayload, protocolError } from './frames.ts';

/**
 * Writes the arguments of an operation. Methods throw AgentError `invalid_argument` for a value
 * that the protocol can't hold.
 */
export class ArgumentWriter {
  readonly #parts: Buffer[] = [];
  #length = 0;

  u8(value: number): this {
    return this.#integer(value, 1);
  }

  u16(value: number): this {
    return this.#integer(value, 2);
  }

  u32(value: number): this {
    return this.#integer(value, 4);
  }

  u64(value: number): this {
    check(Number.isSafeInteger(value) && value >= 0, `${value} is no whole number that can be sent`);
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigUInt64LE(BigInt(value));
    return this.#add(bytes);
  }

  string(text: string): this {
    check(!text.includes('\0'), 'a text with a NUL character is not allowed');
    const bytes = Buffer.from(text);
    return this.u32(bytes.length).#add(bytes);
  }

  strings(texts: readonly string[]): this {
    this.u32(texts.length);
    for (const text of texts) this.string(text);
    return this;
  }

  /** A list of keys and values. */
  pairs(record: Record<string, string>): this {
    const entries = Object.entries(record);
    this.u32(entries.length);
    for (const [key, value] of entries) this.string(key).string(value);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }

  #integer(value: number, size: number): this {
    const most = 2 ** (8 * size) - 1;
    check(Number.isInteger(value) && value >= 0 && value <= most, `${value} is not a whole number from 0 to ${most}`);
    const bytes = Buffer.allocUnsafe(size);
    bytes.writeUIntLE(value, 0, size);
    return this.#add(bytes);
  }

  #add(bytes: Buffer): this {
    this.#length += bytes.length;
    // One byte of OPEN's payload is the operation.
    check(this.#length < maxOpenPayload, 'the arguments are larger than 1 MiB');
    this.#parts.push(bytes);
    return this;
  }
}

function check(isValid: boolean, problem: string): void {
  if (!isValid) throw new AgentError('invalid_argument', problem);
}

/**
 * Reads a payload of the agent. Methods throw MachineError if the payload is too short or holds
 * what the protocol does not allow.
 */
export class ValueReader {
  readonly #payload: Buffer;
  #at = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#payload.length;
  }

  u8(): number {
    return this.#payload.readUInt8(this.#advance(1));
  }

  u16(): number {
    return this.#payload.readUInt16LE(this.#advance(2));
  }

  u32(): number {
    return this.#payload.readUInt32LE(this.#advance(4));
  }

  i32(): number {
    return this.#payload.readInt32LE(this.#advance(4));
  }

  /**
   * Returns the closest number that JavaScript holds exactly: sandboxes can make files of 8 EiB.
   */
  u64(): number {
    return Number(least(this.#payload.readBigUInt64LE(this.#advance(8)), mostInteger));
  }

  /** Returns the closest number that JavaScript holds exactly. */
  i64(): number {
    const value = this.#payload.readBigInt64LE(this.#advance(8));
    return Number(value < -mostInteger ? -mostInteger : least(value, mostInteger));
  }

  /** Bytes that are not UTF-8 become U+FFFD. */
  string(): string {
    const length = this.u32();
    const start = this.#advance(length);
    const text = this.#payload.toString('utf8', start, start + length);
    if (text.includes('\0')) throw protocolError('it sent a text with a NUL character');
    return text;
  }

  strings(): string[] {
    return Array.from({ length: this.#count(4) }, () => this.string());
  }

  /** A list of keys and values. */
  pairs(): Record<string, string> {
    const pairs = Array.from({ length: this.#count(8) }, () => [this.string(), this.string()] as const);
    return Object.fromEntries(pairs);
  }

  /** Returns all bytes that are left. */
  rest(): Buffer {
    return this.#payload.subarray(this.#advance(this.#payload.length - this.#at));
  }

  /** Throws unless everything was read. */
  finish(): void {
    if (!this.isAtEnd) throw protocolError(`its answer has ${this.#payload.length - this.#at} bytes too many`);
  }

  /** Returns the count of a list whose items have at least `itemBytes` bytes. */
  #count(itemBytes: number): number {
    const count = this.u32();
    if (count * itemBytes > this.#payload.length - this.#at)
      throw protocolError(`its list of ${count} items is too short`);
    return count;
  }

  #advance(length: number): number {
    const start = this.#at;
    if (length > this.#payload.length - start) throw protocolError('its answer is too short');
    this.#at += length;
    return start;
  }
}

const mostInteger = BigInt(Number.MAX_SAFE_INTEGER);

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
