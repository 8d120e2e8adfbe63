import { Counter, type Registry } from 'prom-client';
import type { Metrics, WebhookOutcome } from '../context.ts';

const outcomes: WebhookOutcome[] = ['succeeded', 'failed', 'given_up'];

/** Adds the metrics of webhook deliveries to a registry. */
export function webhookMetrics(register: Registry): Pick<Metrics, 'webhookSent'> {
  const attempts = new Counter({
    name: 'sandpit_webhook_attempts_total',
    help: 'Webhook delivery attempts by outcome: succeeded, failed (will be retried), given_up (will not be retried).',
    labelNames: ['outcome'],
    registers: [register],
  });
  for (const outcome of outcomes) attempts.inc({ outcome }, 0);
  return { webhookSent: (outcome) => attempts.inc({ outcome }) };
}
