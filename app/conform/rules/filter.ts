import type { JsonObject } from '../../../db/json.ts';
import { contains } from '../../../db/metadata.ts';
import { itemsOf } from '../items.ts';
import * as as from '../readings.ts';
import { Failure, type Rule, Skip } from '../rule.ts';
import { filterValue, type Known, type Suite } from '../suite.ts';
import { mixtures, variants } from '../variants.ts';
import { knownOf, shownAll } from './expect.ts';

/** What is asked, and the wrong reading of `@>` that one of the documents gives away. */
export type FilterCase = { id: string; title: string; filters: string[]; misreading: as.Reading };

const containment = 'Filters using @> (contains) operator for GIN-indexed queries.';

export const filterCases: FilterCase[] = [
  of('filter-applied', 'only what matches is listed', as.always, '{"userId":"124"}', '{"env":"nowhere"}'),
  of(
    'filter-all-pairs',
    'every pair of the filter must be there',
    as.anyPair,
    '{"env":"dev","userId":"123"}',
    '{"env":"prod","userId":"124"}',
  ),
  of(
    'filter-contains-not-equals',
    'further pairs in the metadata do no harm',
    as.equalJson,
    '{"env":"dev"}',
    '{"count":1}',
  ),
  of(
    'filter-case',
    'values match in their own case only',
    as.foldedValues,
    '{"env":"dev"}',
    '{"env":"Dev"}',
    '{"env":"DEV"}',
  ),
  of(
    'filter-key-case',
    'keys match in their own case only',
    as.foldedKeys,
    '{"Env":"dev"}',
    '{"env":"dev"}',
    '{"ENV":"dev"}',
  ),
  of(
    'filter-whole-text',
    'a text matches as a whole, not a part of it',
    as.partOfText,
    '{"env":"dev"}',
    '{"userId":"123"}',
    '{"env":""}',
  ),
  of(
    'filter-literal',
    'a text stands for itself: no wildcards, no quotes',
    as.wildcards,
    '{"env":"%"}',
    '{"env":"de_"}',
    '{"team":"50% off"}',
    `{"env":"dev' OR '1'='1"}`,
  ),
  of(
    'filter-number-not-string',
    '1 is not "1"',
    as.allAsText,
    '{"userId":"123"}',
    '{"userId":123}',
    '{"count":1}',
    '{"count":"1"}',
    '{"ratio":1.5}',
  ),
  of(
    'filter-boolean-not-string',
    'true is not "true"',
    as.allAsText,
    '{"active":true}',
    '{"active":"true"}',
    '{"active":"false"}',
  ),
  of('filter-boolean-not-number', 'true is not 1', as.truthAsNumber, '{"flag":1}', '{"flag":true}', '{"active":0}'),
  of('filter-null', 'null matches null, not what is missing', as.nullIsMissing, '{"note":null}', '{"nowhere":null}'),
  of('filter-null-not-string', 'null is not "null"', as.allAsText, '{"note":null}', '{"note":"null"}'),
  of(
    'filter-nested',
    'objects in the filter are looked into',
    as.topLevelOnly,
    '{"repo":{"owner":"ann"}}',
    '{"repo":{"owner":"eve"}}',
    '{"repo":{"owner":"ann","name":"site"}}',
  ),
  of(
    'filter-nested-partial',
    'an object in the metadata may have more than the filter says',
    as.nestedWhole,
    '{"repo":{"owner":"bob"}}',
    '{"repo":{"name":"site"}}',
  ),
  of(
    'filter-nested-place',
    'a key counts where it stands, not deeper or higher',
    as.anyDepth,
    '{"owner":"ann"}',
    '{"name":"site"}',
  ),
  of(
    'filter-array-subset',
    'an array in the metadata may have more elements',
    as.arraysWhole,
    '{"tags":["y"]}',
    '{"tags":["x","z"]}',
    '{"repo":{"tags":["a"]}}',
  ),
  of(
    'filter-array-any-order',
    'the order of an array does not count',
    as.arraysInPlace,
    '{"tags":["z","y"]}',
    '{"tags":["y","z"]}',
    '{"deep":[[2,1]]}',
  ),
  of(
    'filter-array-duplicates',
    'an element that is named twice must be there once',
    as.arraysNotLonger,
    '{"tags":["z","y","z","y"]}',
    '{"repo":{"tags":["a","a","a"]}}',
  ),
  of(
    'filter-array-all',
    'every element of an array in the filter must be there',
    as.anyElement,
    '{"tags":["x","q"]}',
    '{"tags":["x","y"]}',
  ),
  of(
    'filter-array-not-scalar',
    'an array does not match what is in it, nor the reverse',
    as.scalarInArray,
    '{"tags":"x"}',
    '{"tags":["x"]}',
    '{"repo":["ann"]}',
  ),
  of(
    'filter-array-object',
    'an object in an array may have more than the filter says',
    as.elementsWhole,
    '{"list":[{"b":2}]}',
    '{"list":[{"a":1}]}',
  ),
  of(
    'filter-array-one-element',
    'an object in an array must match one element, not several together',
    as.elementsJoined,
    '{"list":[{"a":1,"b":2}]}',
    '{"list":[{"a":3,"b":2}]}',
  ),
  of(
    'filter-array-nested',
    'arrays in arrays keep their bounds',
    as.flattened,
    '{"deep":[[1,2]]}',
    '{"deep":[[2],[1]]}',
    '{"deep":[1]}',
  ),
  of(
    'filter-empty-value',
    '{} matches any object, [] any array, and nothing else',
    as.emptyIsNothing,
    '{"empty":{}}',
    '{"empty":[]}',
    '{"repo":{}}',
    '{"tags":[]}',
    '{"nowhere":{}}',
  ),
  of(
    'filter-number-exact',
    'numbers match by their exact value',
    as.doubles,
    '{"big":12345678901234567890}',
    '{"big":12345678901234567891}',
    '{"big":12345678901234567892}',
  ),
  of(
    'filter-unicode',
    'texts match by their characters as they are',
    as.normalizedText,
    '{"accent":"é"}',
    String.raw`{"accent":"e\u0301"}`,
    '{"emoji":"🙂"}',
    String.raw`{"emoji":"\ud83d\ude43"}`,
    '{"env":"dév"}',
  ),
  of(
    'filter-odd-keys',
    'any text may be a key: empty, dotted, quoted, __proto__',
    as.dottedPaths,
    '{"a.b":"dotted"}',
    '{"":"no name"}',
    String.raw`{"q\"uote":"it's"}`,
    '{"__proto__":"own"}',
    '{"constructor":"own"}',
    '{"__proto__":{}}',
    '{"toString":{}}',
  ),
];

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

function of(id: string, title: string, misreading: as.Reading, ...texts: string[]): FilterCase {
  return { id, title, misreading, filters: texts };
}

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
export function isTelling(known: Known[], filter: JsonObject, misreading: as.Reading): boolean {
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
