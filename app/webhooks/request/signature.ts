import { createHmac } from 'node:crypto';
import { randomBytes } from '../../../db/random.ts';

const prefix = 'whsec_';

/** Returns a new secret, as Standard Webhooks spells one: 32 random bytes in base64. */
export function newSecret(): string {
  return `${prefix}${randomBytes(32).toString('base64')}`;
}

/**
 * Returns the headers of a message (Standard Webhooks 1.0.0, "Webhook Headers" and "Signature scheme"), signed with each of
 * the secrets: while one takes another's place, a receiver may know either. `time` is in milliseconds since 1970.
 */
export function signedHeaders(id: string, time: number, body: string, secrets: string[]): Record<string, string> {
  const timestamp = String(Math.floor(time / 1000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(prefix.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
