import { Webhook } from 'standardwebhooks';
import { randomBytes } from '../../../db/random.ts';

/** Returns a new secret in the format of Standard Webhooks: 32 random bytes in base64. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/**
 * Returns the headers of a message (Standard Webhooks 1.0.0, "Webhook Headers"). It carries one
 * signature for each secret: during a rotation a receiver may know either. `time` is in
 * milliseconds since 1970.
 */
export function signedHeaders(id: string, time: number, body: string, secrets: string[]): Record<string, string> {
  const signatures = secrets.map((secret) => new Webhook(secret).sign(id, new Date(time), body));
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(time / 1000)),
    'webhook-signature': signatures.join(' '),
  };
}
