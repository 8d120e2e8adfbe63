import type { Attempt } from '../../db/webhooks/deliveries.ts';
import type { Outcome } from './request/send.ts';

const [second, minute, hour] = [1000, 60_000, 3_600_000];

/** How long to wait after each attempt that failed (Standard Webhooks, "Deliverability and reliability"): three days in all. */
const waits = [5 * second, 5 * minute, ...[0.5, 2, 5, 10, 14, 20, 24].map((hours) => hours * hour)];

/** A receiver can put off a message by so much at most. */
const maxAsked = 24 * hour;

/** Returns what becomes of a message after its `attempts`-th attempt, counted from 1. */
export function afterAttempt(now: number, attempts: number, outcome: Outcome): Attempt {
  const responseStatus = 'status' in outcome ? outcome.status : null;
  const error = 'error' in outcome ? outcome.error : null;
  const over = (status: 'succeeded' | 'failed') => ({ status, nextAttemptAt: null, responseStatus, error });
  if (isTaken(outcome)) return over('succeeded');
  const wait = waits[attempts - 1];
  if (wait === undefined || isGone(outcome)) return over('failed');
  const nextAttemptAt = now + Math.max(wait, waitAsked(now, outcome));
  return { status: 'pending', nextAttemptAt, responseStatus, error };
}

/** Returns for how many milliseconds a receiver asks to be left alone: a day at most, 0 where it asks nothing. */
export function waitAsked(now: number, outcome: Outcome): number {
  const text = 'status' in outcome ? outcome.retryAfter : null;
  if (text === null) return 0;
  const asked = /^\d+$/.test(text) ? Number(text) * second : httpDate(text) - now;
  return asked > 0 ? Math.min(asked, maxAsked) : 0;
}

/** Each of the three forms ends with GMT or, asctime's, is meant so (RFC 9110, 5.6.7). Returns NaN for anything else. */
function httpDate(text: string): number {
  const isDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w: -]+$/.test(text);
  return isDate ? Date.parse(text.endsWith(' GMT') ? text : `${text} GMT`) : Number.NaN;
}

/** Whether the receiver has the message now. */
export function isTaken(outcome: Outcome): boolean {
  return 'status' in outcome && outcome.status >= 200 && outcome.status < 300;
}

/** Whether the receiver says that it wants no more messages. */
export function isGone(outcome: Outcome): boolean {
  return 'status' in outcome && outcome.status === 410;
}

/** Whether the receiver takes nothing at present, whatever the message: it doesn't answer, or it says so. */
export function isOverloaded(outcome: Outcome): boolean {
  return 'error' in outcome || outcome.status === 429 || outcome.status === 503;
}
