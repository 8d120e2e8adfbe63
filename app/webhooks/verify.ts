import { randomDigits } from '../../db/random.ts';
import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import type { Context } from '../context.ts';
import { abortAfter, headersOf } from './attempts.ts';
import { composeTest } from './bodies.ts';
import { Connections } from './request/connections.ts';
import { type Outcome, send } from './request/send.ts';

/**
 * Sends a test message to an endpoint at once and returns the outcome. It is no delivery: nothing
 * is recorded, and it is sent once. `controller` can abort it.
 */
export async function verifyEndpoint(
  { config, now }: Pick<Context, 'config' | 'now'>,
  endpoint: Endpoint,
  controller: AbortController,
): Promise<Outcome> {
  const connections = new Connections();
  const body = composeTest(endpoint, now());
  const delivery = { id: `msg_${randomDigits()}`, body, round: 1, attempts: 0 };
  const timer = abortAfter(endpoint.timeoutSeconds, controller);
  try {
    const message = { url: endpoint.url, headers: headersOf(endpoint, delivery, now()), body };
    return await send(message, { allowed: config.webhookAllow ?? [], connections, signal: controller.signal });
  } finally {
    clearTimeout(timer);
    connections.close();
  }
}
