import type { Attempt } from '../../db/deliveries.ts';
import type { Outcome } from './send.ts';

const [second, minute, hour] = [1000, 60_000, 3_600_000];

/** How long to wait after each attempt that failed (Standard Webhooks, "Deliverability and reliability"): three days in all. */
const waits = [5 * second, 5 * minute, ...[0.5, 2, 5, 10, 14, 20, 24].map((hours) => hours * hour)];

/** Returns what becomes of a message after its `attempts`-th attempt, counted from 1. */
export function afterAttempt(now: number, attempts: number, outcome: Outcome): Attempt {
  const responseStatus = 'status' in outcome ? outcome.status : null;
  const error = 'error' in outcome ? outcome.error : null;
  const over = (status: 'succeeded' | 'failed') => ({ status, nextAttemptAt: null, responseStatus, error });
  if (responseStatus !== null && responseStatus >= 200 && responseStatus < 300) return over('succeeded');
  const wait = waits[attempts - 1];
  if (wait === undefined || isGone(outcome)) return over('failed');
  const asked = 'status' in outcome ? (outcome.retryAfterSeconds ?? 0) * second : 0;
  const longest = 24 * hour;
  return { status: 'pending', nextAttemptAt: now + Math.max(wait, Math.min(asked, longest)), responseStatus, error };
}

/** Whether the receiver says that it wants no more messages. */
export function isGone(outcome: Outcome): boolean {
  return 'status' in outcome && outcome.status === 410;
}
