import type { JsonObject } from '../../../db/json/json.ts';
import { contains } from '../../../db/metadata.ts';
import { Failure, Skip } from '../failure.ts';
import { mixtures, variants } from '../generators/filters.ts';
import type { Reading } from '../generators/misreadings.ts';
import { itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import { filterValue, type Known, type Suite } from '../suite.ts';
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
      const missing = missingFrom(listed, known, maximum);
      if (missing.length > 0) throw new Failure(exchange, 'every sandbox', `missing: ${shownAll(missing)}`);
    },
  },
];

function isOwnNumber([key, value]: [string, unknown]): boolean {
  return Number.isSafeInteger(value) && value !== 0 && !key.startsWith('conform_');
}

async function judge(suite: Suite, { filters: texts, misreading }: FilterCase): Promise<void> {
  const known = suite.maker ? suite.known : sampleOf(suite);
  const tells = (text: string) => isTelling(known, filterValue(suite.narrowed(text)), misreading);
  // What tells nothing here may still be answered wrongly, but alone it would prove nothing.
  const asked = suite.maker ? texts : [...spread(derived(suite).filter(tells), 12), ...texts];
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

/** The richest metadata tells most, and of a thousand sandboxes a few do. */
function sampleOf({ known }: Suite): Known[] {
  const size = ({ metadata }: Known) => JSON.stringify(metadata).length;
  const small = known.filter((sandbox) => size(sandbox) < 4000);
  return small.toSorted((a, b) => Object.keys(b.metadata).length - Object.keys(a.metadata).length).slice(0, 50);
}

const derivedOf = new WeakMap<Suite, string[]>();

/** Returns filters made of what there is. */
function derived(suite: Suite): string[] {
  const done = derivedOf.get(suite);
  if (done) return done;
  const some = sampleOf(suite).map(({ metadata }) => metadata);
  const mixed = some.slice(1).flatMap((metadata, index) => mixtures(metadata, some[index] as JsonObject).slice(0, 40));
  const all = [...some.flatMap(variants), ...mixed].map((filter) => JSON.stringify(filter));
  const filters = [...new Set(all)].filter((text) => text.length < 2000).slice(0, 4000);
  derivedOf.set(suite, filters);
  return filters;
}

/** Returns so many of the values, from all over. */
function spread<T>(values: T[], count: number): T[] {
  const step = Math.max(1, values.length / count);
  return values.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

/** Returns what should be listed and isn't; a full list may have lost its end to sandboxes that were made meanwhile. */
function missingFrom(
  listed: { has: (id: string) => boolean; size: number },
  expected: Known[],
  maximum: number,
): Known[] {
  const end = listed.size < maximum ? expected.length : expected.findLastIndex(({ id }) => listed.has(id)) + 1;
  return expected.slice(0, end).filter(({ id }) => !listed.has(id));
}

/** Throws Failure unless exactly the sandboxes that contain the filter are listed. */
export async function expectMatches(suite: Suite, filter: string): Promise<void> {
  const text = suite.narrowed(filter);
  const value = filterValue(text);
  const exchange = await suite.client.list({ metadata: text, limit: String(suite.limits.maximum) });
  const listed = new Map(itemsOf(exchange).map((item) => [item.sandbox_id, knownOf(item)]));
  const expected = suite.known.filter(({ metadata }) => contains(metadata, value));
  const known = new Map(suite.known.map((sandbox) => [sandbox.id, sandbox]));
  const missing = missingFrom(listed, expected, suite.limits.maximum);
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
