import type { Attempt } from '../../db/webhooks/deliveries.ts';
import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import type { Outcome } from './request/send.ts';

const [second, minute, hour] = [1000, 60_000, 3_600_000];

/**
 * Delays after each failed attempt. The nine retries that an endpoint has by default take three
 * days (Standard Webhooks, "Deliverability and reliability").
 */
const delays = [5 * second, 5 * minute, ...[0.5, 2, 5, 10, 14, 20, 24, 24].map((hours) => hours * hour)];

/** E2B's server waits as long after each attempt. */
const e2bDelay = 10 * second;

/** The longest delay that a receiver can ask for. */
const maxRetryAfter = 24 * hour;

/** Returns the state of a delivery after an attempt; `attempts` counts this one. */
export function afterAttempt(
  now: number,
  attempts: number,
  outcome: Outcome,
  { format, maxRetries }: Pick<Endpoint, 'format' | 'maxRetries'>,
): Attempt {
  const responseStatus = 'status' in outcome ? outcome.status : null;
  const error = 'error' in outcome ? outcome.error : null;
  const final = (status: 'succeeded' | 'failed') => ({ status, nextAttemptAt: null, responseStatus, error });
  if (isAccepted(outcome)) return final('succeeded');
  const delay = format === 'e2b' ? e2bDelay : delays[attempts - 1];
  if (attempts > maxRetries || delay === undefined || isGone(outcome)) return final('failed');
  const nextAttemptAt = now + Math.max(delay, retryAfterOf(now, outcome));
  return { status: 'pending', nextAttemptAt, responseStatus, error };
}

/**
 * Returns the delay that `Retry-After` asks for, in milliseconds: at most a day, 0 without a valid
 * header.
 */
export function retryAfterOf(now: number, outcome: Outcome): number {
  const text = 'status' in outcome ? outcome.retryAfter : null;
  if (text === null) return 0;
  const delay = /^\d+$/.test(text) ? Number(text) * second : parseHttpDate(text) - now;
  return delay > 0 ? Math.min(delay, maxRetryAfter) : 0;
}

/**
 * Returns the time of an HTTP date (RFC 9110, 5.6.7), in milliseconds since 1970, or NaN. All three
 * forms are in GMT; the asctime form does not say so.
 */
function parseHttpDate(text: string): number {
  const isDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w: -]+$/.test(text);
  return isDate ? Date.parse(text.endsWith(' GMT') ? text : `${text} GMT`) : Number.NaN;
}

/** Whether the receiver accepted the message. */
export function isAccepted(outcome: Outcome): boolean {
  return 'status' in outcome && outcome.status >= 200 && outcome.status < 300;
}

/** Whether the receiver wants no more messages. */
export function isGone(outcome: Outcome): boolean {
  return 'status' in outcome && outcome.status === 410;
}

/**
 * Whether the receiver can accept no message at present: it did not answer, or it is overloaded.
 */
export function isUnavailable(outcome: Outcome): boolean {
  return 'error' in outcome || outcome.status === 429 || outcome.status === 503;
}
