import type { JsonObject } from '../../../db/json.ts';
import { contains } from '../../../db/metadata.ts';
import { itemsOf } from '../items.ts';
import type { Reading } from '../readings.ts';
import { Failure, type Rule, Skip } from '../rule.ts';
import { filterValue, type Known, type Suite } from '../suite.ts';
import { mixtures, variants } from '../variants.ts';
import { knownOf, shownAll } from './expect.ts';
import { type FilterCase, filterCases } from './filter-cases.ts';

const containment = 'Filters using @> (contains) operator for GIN-indexed queries.';

export const filters: Rule[] = [
  ...filterCases.map((one) => ({ ...one, source: { page: containment }, run: (suite: Suite) => judge(suite, one) })),
  {
    id: 'filter-number-spelling',
    title: 'a number matches however it is written: 1, 1.0, 10e-1',
    source: { page: containment },
    run: async (suite) => {
      const numbers = suite.known.flatMap(({ metadata }) => Object.entries(metadata).filter(isOwnNumber));
      if (numbers.length === 0) throw new Skip('no metadata has a number at its top');
      for (const [key, number] of numbers.slice(0, 2))
        for (const text of [`${number}.0`, `${number}0e-1`, `${number}e0`])
          await expectMatches(suite, `{${JSON.stringify(key)}:${text}}`);
    },
  },
  {
    id: 'filter-empty',
    title: 'an empty filter matches everything',
    source: { page: containment },
    run: async ({ client, limits: { maximum }, known }) => {
      const exchange = await client.list({ metadata: '{}', limit: String(maximum) });
      const listed = new Set(itemsOf(exchange).map(({ sandbox_id }) => sandbox_id));
      const missing = known.filter(({ id }) => !listed.has(id));
      if (missing.length > 0) throw new Failure(exchange, 'every sandbox', `missing: ${shownAll(missing)}`);
    },
  },
];

function isOwnNumber([key, value]: [string, unknown]): boolean {
  return Number.isInteger(value) && !key.startsWith('conform_');
}

async function judge(suite: Suite, { filters: texts, misreading }: FilterCase): Promise<void> {
  const tells = (text: string) => isTelling(suite.known, filterValue(suite.narrowed(text)), misreading);
  const asked = suite.maker ? texts : derived(suite.known).filter(tells).slice(0, 5);
  // What tells nothing here may still be answered wrongly, but alone it would prove nothing.
  if (!asked.some(tells)) throw new Skip(why(suite));
  for (const text of asked) await expectMatches(suite, text);
}

function why({ maker, options }: Suite): string {
  if (!maker) return 'no metadata there tells right from wrong';
  return maker.refusals.length > 0
    ? `the server made no sandbox that tells right from wrong: ${maker.refusals[0]}`
    : `no sandbox tells right from wrong among ${options.sandboxes} (--sandboxes 12 makes enough)`;
}

/** Returns whether somebody who misreads the filter would answer otherwise. */
export function isTelling(known: Known[], filter: JsonObject, misreading: Reading): boolean {
  return known.some(({ metadata }) => contains(metadata, filter) !== misreading(metadata, filter));
}

/** Returns filters made of what there is. */
function derived(known: Known[]): string[] {
  // The richest tell most.
  const some = known
    .map(({ metadata }) => metadata)
    .toSorted((a, b) => Object.keys(b).length - Object.keys(a).length)
    .slice(0, 40);
  const mixed = some.slice(1).flatMap((metadata, index) => mixtures(metadata, some[index] as JsonObject));
  const all = [...some.flatMap(variants), ...mixed].map((filter) => JSON.stringify(filter));
  return [...new Set(all)].filter((text) => text.length < 2000);
}

/** Throws Failure unless exactly the sandboxes that contain the filter are listed. */
export async function expectMatches(suite: Suite, filter: string): Promise<void> {
  const text = suite.narrowed(filter);
  const value = filterValue(text);
  const exchange = await suite.client.list({ metadata: text, limit: String(suite.limits.maximum) });
  const listed = new Map(itemsOf(exchange).map((item) => [item.sandbox_id, knownOf(item)]));
  const expected = suite.known.filter(({ metadata }) => contains(metadata, value));
  const known = new Map(suite.known.map((sandbox) => [sandbox.id, sandbox]));
  const missing = expected.filter(({ id }) => !listed.has(id));
  // Others may have been made meanwhile.
  const wrong = [...listed.values()].filter(
    ({ id, metadata }) => !contains(known.get(id)?.metadata ?? metadata, value),
  );
  if (missing.length + wrong.length === 0) return;
  const words = [
    ...(missing.length > 0 ? [`missing: ${shownAll(missing)}`] : []),
    ...(wrong.length > 0 ? [`listed though it doesn't contain it: ${shownAll(wrong)}`] : []),
  ];
  throw new Failure(exchange, `what contains ${filter}: ${shownAll(expected)}`, words.join('; '));
}
