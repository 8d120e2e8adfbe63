import { parse as parseContentType } from 'content-type';
import { readTime } from '../../../spec/time.ts';
import { Failure, Skip } from '../failure.ts';
import { equalJson } from '../generators/misreadings.ts';
import { type Item, itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import type { Suite } from '../suite.ts';
import { expectStatus, listAny, listKnown, needKnown, shownAll } from './expect.ts';

export const shapes: Rule[] = [
  {
    id: 'list-array',
    title: 'a list is an array of sandboxes, with 200',
    source: { page: 'Returns: List of sandbox info objects with:' },
    run: async ({ client }) => void itemsOf(await client.list()),
  },
  {
    id: 'list-empty',
    title: 'an empty list is 200 and an empty array',
    source: { page: 'Returns: List of sandbox info objects with:' },
    run: async ({ client, narrowed }) => {
      const exchange = await client.list({ metadata: narrowed('{"conform_absent":"in no sandbox"}') });
      expectStatus(exchange, 200, 'a filter without matches is no error');
      if (itemsOf(exchange).length > 0) throw new Failure(exchange, 'an empty array');
    },
  },
  {
    id: 'content-type',
    title: 'lists and refusals are application/json',
    source: { page: 'content: application/json: schema: type: array' },
    run: async ({ client, limits }) => {
      for (const limit of [limits.minimum, limits.minimum - 1]) {
        const exchange = await client.list({ limit: String(limit) });
        if (parseContentType(exchange.contentType, { parameters: false }).type !== 'application/json')
          throw new Failure(exchange, 'the content type application/json', exchange.contentType || 'none');
      }
    },
  },
  {
    id: 'metadata-kept',
    title: 'each sandbox is listed with its own metadata',
    source: { page: '- metadata: User-defined key-value pairs' },
    run: metadataKept,
  },
  {
    id: 'id-unique',
    title: 'every sandbox_id is listed once',
    source: { page: '- sandbox_id: Unique VM identifier' },
    run: everyItem('a unique `sandbox_id`', (item, items) => {
      return item.sandbox_id !== '' && items.filter(({ sandbox_id }) => sandbox_id === item.sandbox_id).length === 1;
    }),
  },
  {
    id: 'name-template',
    title: 'name is the template, or "default" without one',
    source: { page: '- name: Template name (from parent_snapshot_ref or "default")' },
    run: everyItem('a `name` that is `template_id`, or "default" where that is null', ({ name, template_id }) => {
      return name === (template_id ?? 'default');
    }),
  },
  {
    id: 'times-iso',
    title: 'started_at and end_at are ISO timestamps',
    source: { page: '- started_at: ISO timestamp when VM was started' },
    run: everyItem('`started_at`, and `end_at` unless null, as ISO 8601 date and time', ({ started_at, end_at }) => {
      return isIsoTime(started_at) && (end_at === undefined || end_at === null || isIsoTime(end_at));
    }),
  },
  {
    id: 'end-after-start',
    title: 'a sandbox ends after its start',
    source: { page: '- end_at: ISO timestamp when VM will expire (if active)' },
    run: everyItem('an `end_at` after `started_at`', ({ started_at, end_at }) => {
      return typeof end_at !== 'string' || Date.parse(end_at) > Date.parse(String(started_at));
    }),
  },
  {
    id: 'active-made',
    title: 'a new sandbox is active and has an end',
    source: { reading: 'a new sandbox is "active", and the page gives active sandboxes an `end_at`' },
    run: async (suite) => {
      if (!suite.maker) throw new Skip('needs sandboxes of its own: leave --existing out');
      const [items, exchange] = await listKnown(suite);
      const alive = new Set(suite.maker.made.filter(({ hasEnded }) => !hasEnded).map(({ n }) => n));
      const wrong = items.find(
        ({ metadata, status, end_at }) =>
          alive.has(metadata.conform_n as number) && !(status === 'active' && typeof end_at === 'string'),
      );
      if (wrong) throw new Failure(exchange, '`status` "active" and an `end_at`', JSON.stringify(wrong));
    },
  },
  {
    id: 'ended-not-active',
    title: 'no sandbox is active past its end',
    source: { page: '- end_at: ISO timestamp when VM will expire (if active)' },
    run: async (suite) => {
      const [items, exchange] = await listAny(suite);
      // The server's clock shows at least the time of the latest start.
      const now = Math.max(...items.map(({ started_at }) => Date.parse(String(started_at)) || 0));
      const wrong = items.find(({ status, end_at }) => status === 'active' && Date.parse(String(end_at)) < now);
      if (!wrong) return;
      throw new Failure(
        exchange,
        'no active sandbox that ended before another was started',
        `${JSON.stringify(wrong)}, though one was started at ${new Date(now).toISOString()}`,
      );
    },
  },
];

/** These rules run last. */
export const responses: Rule[] = [
  {
    id: 'response-schema',
    title: 'every list and every 422 of this run fits its schema',
    source: { page: 'required: - sandbox_id - name - metadata - started_at - status' },
    run: expectNoBreach((status) => status === 200 || status === 422),
  },
  {
    id: 'response-declared',
    title: 'every other response of this run is declared, and fits its schema',
    source: { contract: '"401": $ref: "#/components/responses/Unauthorized"' },
    run: expectNoBreach((status) => status !== 200 && status !== 422),
  },
];

function expectNoBreach(isIncluded: (status: number) => boolean): Rule['run'] {
  return async ({ client, breaches, limits }) => {
    // Sends requests of its own, in case no other rule ran.
    for (const limit of [limits.minimum, limits.minimum - 1]) await client.list({ limit: String(limit) });
    await client.list({}, []);
    const [first, ...others] = breaches.filter(({ exchange }) => isIncluded(exchange.status));
    if (!first) return;
    const more = others.length > 0 ? `; ${others.length} more responses break the contract` : '';
    throw new Failure(first.exchange, 'a response that fits the contract', `${first.problem}${more}`);
  };
}

async function metadataKept(suite: Suite): Promise<void> {
  if (!suite.maker) throw new Skip('needs sandboxes of its own: leave --existing out');
  const [items, exchange] = await listKnown(suite);
  const byNumber = new Map(items.map((item) => [item.metadata.conform_n, item]));
  const made = suite.maker.made.map(({ n, metadata }) => ({ id: String(n), metadata }));
  const missing = made.filter(({ metadata }) => !byNumber.has(metadata.conform_n));
  if (missing.length > 0) throw new Failure(exchange, `all ${made.length} sandboxes`, `missing: ${shownAll(missing)}`);
  for (const { metadata } of made) {
    const listed = byNumber.get(metadata.conform_n)?.metadata ?? {};
    if (!equalJson(listed, metadata)) throw new Failure(exchange, JSON.stringify(metadata), JSON.stringify(listed));
  }
}

function everyItem(expected: string, isRight: (item: Item, items: Item[]) => boolean): Rule['run'] {
  return async (suite) => {
    needKnown(suite, 1);
    const [items, exchange] = await listAny(suite);
    const wrong = items.find((item) => !isRight(item, items));
    if (wrong) throw new Failure(exchange, expected, JSON.stringify(wrong));
  };
}

const isoTime = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|([+-]\d\d):?(\d\d))?$/;

/** Accepts more than RFC 3339, as ISO 8601 does: no offset, or an offset without a colon. */
function isIsoTime(value: unknown): boolean {
  const [, moment, hours, minutes] = isoTime.exec(typeof value === 'string' ? value : '') ?? [];
  return moment !== undefined && readTime(`${moment}${hours ? `${hours}:${minutes}` : 'Z'}`) !== null;
}
