import type { JsonObject } from '../../../db/json/json.ts';
import { contains } from '../../../db/metadata.ts';
import { Failure, Skip } from '../failure.ts';
import { combinations, maxFilterText, variants } from '../generators/filters.ts';
import type { Reading } from '../generators/misreadings.ts';
import { itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import { type Known, parseFilter, type Suite } from '../suite.ts';
import { knownOf, shownAll } from './expect.ts';
import { type FilterCase, filterCases } from './filter-cases.ts';

const containment = 'Filters using @> (contains) operator for GIN-indexed queries.';

export const filters: Rule[] = [
  ...filterCases.map((one) => ({ ...one, source: { page: containment }, run: (suite: Suite) => judge(suite, one) })),
  {
    id: 'filter-number-spelling',
    title: 'a number matches in any notation: 1, 1.0, 10e-1',
    source: { page: containment },
    run: async (suite) => {
      const numbers = suite.known.flatMap(({ metadata }) => Object.entries(metadata).filter(isOwnNumber));
      if (numbers.length === 0) throw new Skip('no metadata has a number at its top level');
      for (const [key, number] of numbers.slice(0, 2))
        for (const text of [`${number}.0`, `${number}0e-1`, `${number}e0`])
          await expectMatches(suite, `{${JSON.stringify(key)}:${text}}`);
    },
  },
  {
    id: 'filter-empty',
    title: 'an empty filter matches every sandbox',
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
  const known = suite.maker ? suite.known : sampleOf(suite.known);
  const reveals = (text: string) => isRevealing(known, parseFilter(suite.narrowed(text)), misreading);
  // A filter that cannot reveal the misreading is sent as well, but does not suffice.
  const sent = suite.maker ? texts : [...spread(derivedFilters(known).filter(reveals), 12), ...texts];
  if (!sent.some(reveals)) throw new Skip(skipReason(suite));
  for (const text of sent) await expectMatches(suite, text);
}

function skipReason({ maker, options }: Suite): string {
  if (!maker) return 'no existing metadata can reveal the mistake';
  return maker.refusals.length > 0
    ? `the server made no sandbox that can reveal the mistake: ${maker.refusals[0]}`
    : `none of ${options.sandboxes} sandboxes can reveal the mistake (--sandboxes 12 makes enough)`;
}

/** Whether the misreading would list other sandboxes than the correct reading. */
export function isRevealing(known: Known[], filter: JsonObject, misreading: Reading): boolean {
  return known.some(({ metadata }) => contains(metadata, filter) !== misreading(metadata, filter));
}

/** Returns at most 50 sandboxes, those with the most metadata. */
function sampleOf(known: Known[]): Known[] {
  const size = ({ metadata }: Known) => JSON.stringify(metadata).length;
  const small = known.filter((sandbox) => size(sandbox) < 4000);
  return small.toSorted((a, b) => Object.keys(b.metadata).length - Object.keys(a.metadata).length).slice(0, 50);
}

/** Returns filters, as JSON text, made from the metadata of these sandboxes. */
function derivedFilters(known: Known[]): string[] {
  const documents = known.map(({ metadata }) => metadata);
  const mixed = documents
    .slice(1)
    .flatMap((metadata, index) => combinations(metadata, documents[index] as JsonObject).slice(0, 40));
  const all = [...documents.flatMap(variants), ...mixed].map((filter) => JSON.stringify(filter));
  return [...new Set(all)].filter((text) => text.length < maxFilterText).slice(0, 4000);
}

/** Returns about `count` of the values, evenly spread. */
function spread<T>(values: T[], count: number): T[] {
  const step = Math.max(1, values.length / count);
  return values.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

/**
 * Returns the expected sandboxes that are not listed. A full list may lack the last ones, if others
 * were made meanwhile.
 */
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
  const value = parseFilter(text);
  const exchange = await suite.client.list({ metadata: text, limit: String(suite.limits.maximum) });
  const listed = new Map(itemsOf(exchange).map((item) => [item.sandbox_id, knownOf(item)]));
  const expected = suite.known.filter(({ metadata }) => contains(metadata, value));
  const known = new Map(suite.known.map((sandbox) => [sandbox.id, sandbox]));
  const missing = missingFrom(listed, expected, suite.limits.maximum);
  // Sandboxes that the suite does not know may have been made meanwhile; their listed metadata is
  // judged.
  const wrong = [...listed.values()].filter(
    ({ id, metadata }) => !contains(known.get(id)?.metadata ?? metadata, value),
  );
  if (missing.length + wrong.length === 0) return;
  const words = [
    ...(missing.length > 0 ? [`missing: ${shownAll(missing)}`] : []),
    ...(wrong.length > 0 ? [`listed though it doesn't contain it: ${shownAll(wrong)}`] : []),
  ];
  throw new Failure(exchange, `the sandboxes that contain ${filter}: ${shownAll(expected)}`, words.join('; '));
}
