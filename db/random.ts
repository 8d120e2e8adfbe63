import { type Cipheriv, createCipheriv, hash, randomBytes as systemBytes, randomUUID as systemUuid } from 'node:crypto';

type Sequence = { bytes: Cipheriv; uuids: Cipheriv };

/**
 * Set in tests that repeat. UUIDs have their own stream: requests are named by UUIDs, and the
 * number of requests must not change the ids and keys that come from the other stream.
 */
let sequence: Sequence | null = null;

/** Returns random bytes of the system, or of the sequence that `repeatRandomness` started. */
export function randomBytes(size: number): Buffer {
  return sequence ? next(sequence.bytes, size) : systemBytes(size);
}

/** Returns a random UUID of the system, or of the sequence that `repeatRandomness` started. */
export function randomUuid(): string {
  if (!sequence) return systemUuid();
  const bytes = next(sequence.uuids, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6); // version 4, variant 10: RFC 9562, 5.4
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * Derives all further ids and keys of this process from a seed, so that each run of a test sees the
 * same ones. Anyone who knows the seed knows the keys: use it for tests only.
 */
export function repeatRandomness(seed: number): void {
  const start = (purpose: string) =>
    createCipheriv('aes-256-ctr', hash('sha256', `${purpose} ${seed}`, 'buffer'), Buffer.alloc(16));
  sequence = { bytes: start('bytes'), uuids: start('uuids') };
}

/** Returns 20 random characters of `[a-z0-9]`: 103 random bits. */
export function randomDigits(): string {
  const digits = [...randomBytes(48)].filter((byte) => byte < 252).map((byte) => (byte % 36).toString(36));
  return digits.length < 20 ? randomDigits() : digits.slice(0, 20).join('');
}

function next(cipher: Cipheriv, size: number): Buffer {
  return cipher.update(Buffer.alloc(size));
}
