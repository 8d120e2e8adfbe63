import { createHash, createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { randomBytes } from '../../../db/random.ts';
import type { WebhookFormat } from '../../../db/schema.ts';

/** Returns a new secret in the format of Standard Webhooks: 32 random bytes in base64. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

export type Signing = {
  format: WebhookFormat;
  endpointId: string;
  /** the message's id, which stays the same at each attempt */
  id: string;
  /** differs at each attempt */
  attemptId: string;
  /** in milliseconds since 1970 */
  time: number;
  body: string;
  /** newest first; at least one */
  secrets: string[];
};

/** Returns the headers of a message in the format of its endpoint. */
export function signedHeaders(signing: Signing): Record<string, string> {
  if (signing.format === 'e2b') return e2bHeaders(signing);
  return { ...standardHeaders(signing), 'InstaVM-Signature': instavmSignature(signing) };
}

/**
 * Returns the headers of Standard Webhooks 1.0.0 ("Webhook Headers"), with one signature for each
 * secret: during a rotation a receiver may know either.
 */
function standardHeaders({ id, time, body, secrets }: Signing): Record<string, string> {
  const signatures = secrets.map((secret) => new Webhook(secret).sign(id, new Date(time), body));
  return {
    'webhook-id': id,
    'webhook-timestamp': String(secondsOf(time)),
    'webhook-signature': signatures.join(' '),
  };
}

/**
 * Returns the signature that InstaVM's client checks: an HMAC whose key is the text of the newest
 * secret, with its prefix.
 */
function instavmSignature({ time, body, secrets: [secret = ''] }: Signing): string {
  const seconds = secondsOf(time);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

/** Returns the headers of E2B's server (its documentation, "Sandbox lifecycle webhooks"). */
function e2bHeaders({ endpointId, attemptId, body, secrets: [secret = ''] }: Signing): Record<string, string> {
  return {
    'e2b-webhook-id': endpointId,
    'e2b-delivery-id': attemptId,
    'e2b-signature-version': 'v1',
    'e2b-signature': createHash('sha256').update(secret).update(body).digest('base64url'),
  };
}

function secondsOf(time: number): number {
  return Math.floor(time / 1000);
}
