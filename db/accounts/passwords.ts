import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { StoreError } from '../errors.ts';

/**
 * OWASP's Password Storage Cheat Sheet (2025): scrypt with N = 2^17, r = 8, p = 1, which takes 128
 * MiB.
 */
const cost = { N: 2 ** 17, r: 8, p: 1 };
const maxmem = 256 * 2 ** 20;

const unboundedDerive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

/** The limits on concurrent hashing, which costs memory, and on the queue, which costs time. */
const most = { running: 2, waiting: 8 };
let running = 0;
const waiting: (() => void)[] = [];

/** Throws StoreError `busy` when the queue is full. */
async function derive(...given: Parameters<typeof unboundedDerive>): Promise<Buffer> {
  if (running < most.running) running++;
  else if (waiting.length < most.waiting) await new Promise<void>((resolve) => waiting.push(resolve));
  else throw new StoreError('busy', 'too many passwords are being checked');
  try {
    return await unboundedDerive(...given);
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

/**
 * Returns a salted hash with its parameters: `scrypt$N$r$p$salt$key`, salt and key in base64.
 * Throws StoreError `busy`.
 */
export async function hashPassword(password: string, { N, r, p } = cost): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password.normalize('NFKC'), salt, 32, { N, r, p, maxmem });
  return ['scrypt', N, r, p, salt.toString('base64'), key.toString('base64')].join('$');
}

/**
 * Returns whether a password matches a hash, in the same time either way. Without a hash (for an
 * unknown user) it takes as long and returns false. Throws StoreError `busy`.
 */
export async function verifyPassword(password: string, hash: string | null): Promise<boolean> {
  const [, N, r, p, salt = '', key = ''] = (hash ?? decoyHash).split('$');
  const expected = Buffer.from(key, 'base64');
  const options = { N: Number(N), r: Number(r), p: Number(p), maxmem };
  const actual = await derive(password.normalize('NFKC'), Buffer.from(salt, 'base64'), expected.length, options);
  return timingSafeEqual(actual, expected) && hash !== null;
}

const decoyHash = [
  'scrypt',
  cost.N,
  cost.r,
  cost.p,
  'AAAAAAAAAAAAAAAAAAAAAA==',
  Buffer.alloc(32).toString('base64'),
].join('$');
