import type { JsonObject } from '../../../db/json/json.ts';
import { contains } from '../../../db/metadata.ts';
import { Failure, Skip } from '../failure.ts';
import { variants } from '../generators/filters.ts';
import { itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import type { Known, Suite } from '../suite.ts';
import { expectRefused, expectStatus, knownOf, listAny, listKnown, needKnown, shown, shownAll } from './expect.ts';

const range = 'limit: Maximum number of results (1-1000, default: 100)';

export const limits: Rule[] = [
  {
    id: 'limit-exact',
    title: 'limit=n gives the first n of the list, neither more nor fewer',
    source: { page: range },
    run: limitExact,
  },
  {
    id: 'limit-after-filter',
    title: 'limit counts matching sandboxes, not scanned ones',
    source: { page: 'Maximum number of results' },
    run: limitAfterFilter,
  },
  {
    id: 'limit-default',
    title: 'without a limit at most 100 sandboxes are listed',
    source: { page: range },
    run: async (suite) => {
      const count = suite.limits.default;
      const [all] = await listAny(suite);
      if (all.length <= count) needKnown(suite, count + 1);
      await expectCount(suite, {}, count);
    },
  },
  {
    id: 'limit-above-default',
    title: 'a limit above the default gives more sandboxes than the default',
    source: { page: range },
    run: async (suite) => {
      const { default: preset, maximum } = suite.limits;
      // Counts the sandboxes made, because a server that truncates lists shows too few.
      const count = suite.maker?.made.length ?? suite.known.length;
      if (count <= preset) needKnown(suite, preset + 1);
      for (const limit of [preset + 1, maximum])
        await expectCount(suite, { limit: String(limit), metadata: suite.narrowed('{}') }, Math.min(limit, count));
    },
  },
  {
    id: 'limit-bounds',
    title: 'limit=1 and limit=1000 are accepted',
    source: { page: 'maximum: 1000 minimum: 1' },
    run: async ({ client, limits: { minimum, maximum } }) => {
      for (const limit of [minimum, maximum])
        expectStatus(await client.list({ limit: String(limit) }), 200, `${limit} is within the bounds`);
    },
  },
  refused('limit-below', 'a limit below 1 is refused', 'maximum: 1000 minimum: 1', ({ minimum }) => [
    String(minimum - 1),
    '-1',
    '-1000',
    '-99999999999999999999',
  ]),
  refused('limit-above', 'a limit above 1000 is refused', 'maximum: 1000 minimum: 1', ({ maximum }) => [
    String(maximum + 1),
    '2147483648',
    '99999999999999999999',
  ]),
  refused('limit-no-integer', 'a limit that is not a whole number is refused', 'schema: type: integer', () => [
    'abc',
    '1.5',
    'null',
    'NaN',
    '1,2',
    'true',
  ]),
  refused('limit-empty', 'an empty limit is refused', 'schema: type: integer', () => ['']),
];

function refused(id: string, title: string, page: string, values: (limits: Suite['limits']) => string[]): Rule {
  return {
    id,
    title,
    source: { page },
    run: async ({ client, limits: bounds }) => {
      for (const limit of values(bounds))
        expectRefused(
          await client.list({ limit }),
          `limit=${limit} is not a whole number from ${bounds.minimum} to ${bounds.maximum}`,
        );
    },
  };
}

/** Returns all limits up to a small count; of a large one, the smallest and the largest limits. */
function numbersTo(count: number): number[] {
  const all = Array.from({ length: count }, (_, index) => index + 1);
  return count <= 20 ? all : [...all.slice(0, 8), ...all.slice(-4)];
}

async function limitExact(suite: Suite): Promise<void> {
  needKnown(suite, 2);
  const known = new Set(suite.known.map(({ id }) => id));
  const count = Math.min(suite.known.length, suite.limits.maximum);
  for (const limit of numbersTo(count)) {
    const [items, exchange] = await listKnown(suite, { limit: String(limit) });
    if (items.length !== limit)
      throw new Failure(exchange, `${limit} of ${count} sandboxes`, `${items.length} sandboxes`);
    const listed = items.map(knownOf).filter(({ id }) => known.has(id));
    const wrong = listed.findIndex(({ id }, index) => id !== suite.known[index]?.id);
    const first = suite.known.slice(0, limit);
    if (wrong >= 0) throw new Failure(exchange, `the first ${limit}: ${shownAll(first)}`, shownAll(listed));
  }
}

async function limitAfterFilter(suite: Suite): Promise<void> {
  needKnown(suite, 2);
  const older = olderOnes(suite);
  if (older.length === 0) throw new Skip('no metadata distinguishes an older sandbox from the newest');
  for (const { sandbox, filter } of older) {
    const [items, exchange] = await listKnown(suite, { metadata: suite.narrowed(JSON.stringify(filter)), limit: '1' });
    const [item] = items;
    if (items.length === 1 && item && contains(item.metadata, filter)) continue;
    const expected = `one sandbox, the newest that contains ${JSON.stringify(filter)}: ${shown(sandbox)}`;
    throw new Failure(exchange, expected, shownAll(items.map(knownOf)));
  }
}

/**
 * Returns a few filters that the newest sandbox does not match, each with the newest sandbox that
 * does.
 */
function olderOnes({ known }: Suite): { sandbox: Known; filter: JsonObject }[] {
  const found: { sandbox: Known; filter: JsonObject }[] = [];
  for (const sandbox of known.slice(1, 200).toReversed()) {
    const filter = variants(sandbox.metadata).find(
      (one) => known.find(({ metadata }) => contains(metadata, one))?.id === sandbox.id,
    );
    if (filter) found.push({ sandbox, filter });
    if (found.length === 5) break;
  }
  return found;
}

async function expectCount(suite: Suite, query: Record<string, string>, count: number): Promise<void> {
  const exchange = await suite.client.list(query);
  const { length } = itemsOf(exchange);
  if (length !== count) throw new Failure(exchange, `${count} sandboxes`, `${length} sandboxes`);
}
