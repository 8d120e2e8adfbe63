import { hash, timingSafeEqual } from 'node:crypto';

/**
 * A secret is `e2b_` (an API key) or `spt_` (an access token) and random hexadecimal digits. Its
 * prefix is stored in the clear, to find the row and to tell keys apart. Of the whole secret only
 * the SHA-256 is stored: a random secret of this length needs no slow hash.
 */
export const apiKeyPattern = /^e2b_[0-9a-f]{40}$/;
export const accessTokenPattern = /^spt_[0-9a-f]{64}$/;

const prefixLength = 'e2b_'.length + 12;

export function prefixOf(secret: string): string {
  return secret.slice(0, prefixLength);
}

export function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** Returns whether a row stores the hash of this secret. Takes the same time either way. */
export function isSecretOf(row: { secret_hash: Buffer }, secret: string): boolean {
  return timingSafeEqual(row.secret_hash, hashOf(secret));
}
