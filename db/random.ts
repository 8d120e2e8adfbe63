import { type Cipheriv, createCipheriv, hash, randomBytes as systemBytes, randomUUID as systemUuid } from 'node:crypto';

type Sequence = { bytes: Cipheriv; uuids: Cipheriv };

/** UUIDs name requests, keys and ids what requests make: how many requests there were is not to change the latter. */
let sequence: Sequence | null = null;

/** Returns so many random bytes: the system's, or the next of the sequence that `repeatRandomness` has begun. */
export function randomBytes(size: number): Buffer {
  return sequence ? next(sequence.bytes, size) : systemBytes(size);
}

/** Returns a random UUID, of the same source. */
export function randomUuid(): string {
  if (!sequence) return systemUuid();
  const bytes = next(sequence.uuids, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6); // version 4, variant 10: RFC 9562, 5.4
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * Has all of this process's ids and keys follow from a seed from now on, so that a test sees the same ones each time.
 * Whoever knows the seed knows the keys: for nothing that is to be safe.
 */
export function repeatRandomness(seed: number): void {
  const begin = (purpose: string) =>
    createCipheriv('aes-256-ctr', hash('sha256', `${purpose} ${seed}`, 'buffer'), Buffer.alloc(16));
  sequence = { bytes: begin('bytes'), uuids: begin('uuids') };
}

/** Returns 20 random characters of `[a-z0-9]`: 103 random bits. */
export function randomDigits(): string {
  const digits = [...randomBytes(48)].filter((byte) => byte < 252).map((byte) => (byte % 36).toString(36));
  return digits.length < 20 ? randomDigits() : digits.slice(0, 20).join('');
}

function next(cipher: Cipheriv, size: number): Buffer {
  return cipher.update(Buffer.alloc(size));
}
