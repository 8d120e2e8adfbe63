import { Failure, Skip } from '../failure.ts';
import type { Exchange } from '../http/exchange.ts';
import { bodyOf, type Item, itemsOf } from '../http/items.ts';
import type { Known, Suite } from '../suite.ts';

/** Lists the known sandboxes: the suite's own, or all without a maker. */
export async function listKnown(suite: Suite, query: Record<string, string> = {}): Promise<[Item[], Exchange]> {
  const limit = String(suite.limits.maximum);
  const narrowed = suite.maker ? { metadata: suite.narrowed('{}') } : {};
  const exchange = await suite.client.list({ ...narrowed, limit, ...query });
  return [itemsOf(exchange), exchange];
}

/** Lists all sandboxes of the account. */
export async function listAny(suite: Suite): Promise<[Item[], Exchange]> {
  const exchange = await suite.client.list({ limit: String(suite.limits.maximum) });
  return [itemsOf(exchange), exchange];
}

/** Throws Skip unless at least `count` sandboxes are known. */
export function needKnown(suite: Suite, count: number): void {
  const { length } = suite.known;
  if (length >= count) return;
  const help = suite.maker ? ` (--sandboxes ${count} makes as many)` : '';
  throw new Skip(`needs ${count} sandboxes, ${length === 1 ? 'there is 1' : `there are ${length}`}${help}`);
}

/** Throws Failure unless the server refused the request with a 4xx. */
export function expectRefused(exchange: Exchange, why: string): void {
  if (exchange.status >= 400 && exchange.status < 500) return;
  throw new Failure(exchange, `a refusal: ${why}`);
}

export function expectStatus(exchange: Exchange, status: number, why: string): void {
  if (exchange.status !== status) throw new Failure(exchange, `${status}: ${why}`);
}

export type Problem = { loc: unknown[]; msg: string; type: string };

/** Returns the problems in a 422's body. Throws Failure for a body of another shape. */
export function problemsOf(exchange: Exchange): Problem[] {
  const { detail } = (bodyOf(exchange) ?? {}) as { detail?: unknown };
  const isProblem = (entry: Partial<Problem> | null) =>
    Array.isArray(entry?.loc) && typeof entry?.msg === 'string' && typeof entry?.type === 'string';
  if (Array.isArray(detail) && detail.length > 0 && detail.every(isProblem)) return detail;
  throw new Failure(
    exchange,
    '`detail`: a non-empty array of objects with `loc` (an array), `msg` and `type` (strings)',
  );
}

/**
 * Returns a sandbox for people: its metadata without the run's members, and the id of a sandbox not
 * made by the suite.
 */
export function shown({ id, metadata }: Known): string {
  const { conform_run: run, conform_n: _, ...own } = metadata;
  return run === undefined ? `${id} ${JSON.stringify(own)}` : JSON.stringify(own);
}

/** Returns the first few sandboxes for people. */
export function shownAll(sandboxes: Known[]): string {
  const some = sandboxes.slice(0, 4).map(shown);
  const more = sandboxes.length - some.length;
  return [...some, ...(more > 0 ? [`and ${more} more`] : [])].join(', ') || 'none';
}

export function knownOf({ sandbox_id: id, metadata }: Item): Known {
  return { id, metadata };
}
