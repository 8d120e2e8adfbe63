import fc from 'fast-check';
import type { SandboxStatus } from '../../../db/schema.ts';
import { startTime } from '../server.ts';
import { metadataQuery } from './e2b-client.ts';

export type Metadata = Record<string, string>;

/** A sandbox in the reference model. */
export type Row = {
  id: string;
  metadata: Metadata;
  templateId: string | null;
  startedAt: number;
  state: SandboxStatus;
};

const tick = fc.nat(3);
export const metadata = fc
  .subarray([
    ['env', 'prod'],
    ['env', 'dev'],
    ['__proto__', 'x'],
    ['é &', '='],
  ])
  .map((pairs) => Object.fromEntries(pairs) as Metadata);
const template = fc.constantFrom(null, 'base', 'base:v1', 'bob/base');
export const sandbox = fc.record({
  metadata,
  templateId: template,
  started: tick,
  status: fc.constantFrom<SandboxStatus[]>('active', 'active', 'paused', 'killed'),
  /** end, in milliseconds from now */
  ends: fc.constantFrom(-1, 0, 1, null),
  onTimeout: fc.constantFrom('kill' as const, 'pause' as const),
});
export const query = fc.record({
  state: fc.constantFrom('running', 'paused', 'paused,running', undefined),
  metadata: fc.option(
    metadata.filter((pairs) => Object.keys(pairs).length > 0),
    { nil: undefined },
  ),
  since: fc.option(fc.tuple(tick, fc.constantFrom(0, 1)), { nil: undefined }),
  template: fc.option(fc.constantFrom('base', 'default', 'bob/base', 'nope'), { nil: undefined }),
  order: fc.constantFrom('asc', 'desc', undefined),
  limit: fc.integer({ min: 1, max: 5 }),
});

/** Returns the rows that a list must return, in order. */
export function expected(rows: Row[], { state, metadata: pairs = {}, since, template: name, order }: Query): Row[] {
  const states = (state ?? 'running,paused').split(',');
  const found = rows
    .filter((row) => states.includes(row.state === 'active' ? 'running' : row.state))
    .filter((row) =>
      Object.keys(pairs).every((key) => Object.hasOwn(row.metadata, key) && row.metadata[key] === pairs[key]),
    )
    .filter((row) => since === undefined || row.startedAt * 1000 >= (startTime + since[0]) * 1000 + since[1])
    .filter((row) => name === undefined || (row.templateId ?? 'default').replace(/:.*/, '') === name)
    .sort((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1));
  return order === 'asc' ? found.reverse() : found;
}

/** A query of `GET /v2/sandboxes`. */
export type Query = typeof query extends fc.Arbitrary<infer Q> ? Q : never;
export type Drawn = typeof sandbox extends fc.Arbitrary<infer S> ? S : never;

/** Returns the path and query of a list request. */
export function urlOf({ state, metadata: pairs, since, template: name, order, limit }: Query): string {
  const time = since && new Date(startTime + since[0]).toISOString().replace('Z', `00${since[1]}Z`);
  const given = { state, startedAfter: time, template: name, order, limit };
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  const rest = new URLSearchParams(known.map(([key, value]): [string, string] => [key, String(value)]));
  return `/v2/sandboxes?${rest}${pairs ? `&${metadataQuery(pairs)}` : ''}`;
}
