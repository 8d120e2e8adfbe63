import type { Actor } from '../events/record.ts';
import type { Trx } from '../store.ts';
import { type Endpoint, getEndpoint, recordOfEndpoint, setColumns } from './endpoints.ts';

/** The most old secrets that sign a message: each adds a signature to its headers. */
const maxOldSecrets = 9;

/**
 * Makes the owner's endpoint sign with a new secret and, until a time, also with the secrets that
 * it signs with now. Returns the endpoint. Throws StoreError `not_found`.
 */
export async function rotateSecret(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  { secret, oldSecretsUntil }: { secret: string; oldSecretsUntil: number },
): Promise<Endpoint> {
  const old = secretsOf(await getEndpoint(trx, by.ownerId, id), now).slice(0, maxOldSecrets);
  await recordOfEndpoint(trx, now, by, id, 'webhook.secret_rotated');
  const columns = { secret, old_secret: old.join(' '), old_secret_until: oldSecretsUntil, updated_at: now };
  await setColumns(trx, id, columns);
  return getEndpoint(trx, by.ownerId, id);
}

/**
 * Returns the secrets that sign messages to an endpoint. During a rotation its receiver may know
 * either.
 */
export function secretsOf({ secret, oldSecrets, oldSecretsUntil }: Endpoint, now: number): string[] {
  return now < oldSecretsUntil ? [secret, ...oldSecrets] : [secret];
}
