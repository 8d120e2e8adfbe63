import { isoTime } from '../../spec/time.ts';
import { type Details, dispatcher } from '../events/record.ts';
import type { Trx } from '../store.ts';
import { type Endpoint, findEndpoint, recordOfEndpoint, setColumns } from './endpoints.ts';

/**
 * An endpoint that has failed for five days, two more than the retries of a message take, is
 * disabled.
 */
const maxFailingMilliseconds = 5 * 86_400_000;

/** Records that a message was delivered to an endpoint. */
export async function noteSuccess(trx: Trx, id: string): Promise<void> {
  await trx
    .updateTable('webhook_endpoints')
    .set({ failing_since: null })
    .where('id', '=', id)
    .where('failing_since', 'is not', null)
    .execute();
}

/**
 * Records that an attempt failed, and disables the endpoint if it has failed for too long. Does
 * nothing if the endpoint was disabled, deleted or given another URL since the attempt.
 */
export async function noteFailure(trx: Trx, now: number, { id, url }: Pick<Endpoint, 'id' | 'url'>): Promise<void> {
  const endpoint = await findEndpoint(trx, id);
  if (!endpoint?.isEnabled || endpoint.url !== url) return;
  const { failingSince } = endpoint;
  if (failingSince === null) return setColumns(trx, id, { failing_since: now });
  if (now - failingSince < maxFailingMilliseconds) return;
  await disable(trx, now, endpoint, { reason: 'failing', failing_since: isoTime(failingSince) });
}

/**
 * Disables an endpoint whose receiver answered that it is gone. Does nothing if the endpoint was
 * disabled, deleted or given another URL since.
 */
export async function disableEndpoint(trx: Trx, now: number, { id, url }: Pick<Endpoint, 'id' | 'url'>): Promise<void> {
  const endpoint = await findEndpoint(trx, id);
  if (endpoint?.isEnabled && endpoint.url === url) await disable(trx, now, endpoint, { reason: 'gone' });
}

async function disable(trx: Trx, now: number, { id, ownerId }: Endpoint, details: Details): Promise<void> {
  await setColumns(trx, id, { enabled: 0, updated_at: now });
  // After disabling it, so that only the owner's other endpoints get this event.
  await recordOfEndpoint(trx, now, { ...dispatcher, ownerId }, id, 'webhook.disabled', details);
}
