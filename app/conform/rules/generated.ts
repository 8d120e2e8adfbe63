import type fc from 'fast-check';
import type { Json, JsonObject } from '../../../db/json/json.ts';
import { Failure } from '../failure.ts';
import { askable, changes, variants } from '../generators/filters.ts';
import { fitting, unfitting } from '../generators/parameters.ts';
import type { Query } from '../http/client.ts';
import { itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import type { Suite } from '../suite.ts';
import { expectStatus, needKnown, problemsOf } from './expect.ts';
import { expectMatches } from './filter.ts';

type FastCheck = typeof fc;

/** Of the members of one document. */
const maxChanged = 24;

export const generated: Rule[] = [
  {
    id: 'generated-valid',
    title: 'requests made up by the contract are answered 200 and a list',
    source: { page: 'description: Maximum number of results' },
    run: (suite) =>
      holds(
        suite,
        (fast) => fast.record(validParameters(fast, suite)),
        async (values) => {
          const exchange = await suite.client.list(queryOf(values));
          expectStatus(exchange, 200, 'every parameter fits the contract');
          const { limit } = values as { limit: string | null };
          const { length } = itemsOf(exchange);
          if (length > Number(limit ?? suite.limits.preset))
            throw new Failure(exchange, `${limit ?? suite.limits.preset} sandboxes at most`, `${length} sandboxes`);
        },
      ),
  },
  {
    id: 'generated-invalid',
    title: 'requests made up against the contract are answered 422, and the parameter is named',
    source: { page: '"422": description: Validation Error' },
    run: async (suite) => {
      for (const { name, schema } of queryParameters(suite)) {
        await holds(
          suite,
          (fast) => unfitting(fast, schema),
          async (value) => {
            const exchange = await suite.client.list({ [name]: value });
            expectStatus(exchange, 422, `${name}=${value} does not fit the contract`);
            if (!problemsOf(exchange).some(({ loc }) => loc.includes(name)))
              throw new Failure(exchange, `a \`loc\` with "${name}"`);
          },
        );
      }
    },
  },
  {
    id: 'generated-any',
    title: 'whatever the parameters, the answer is a declared one that fits its schema',
    source: { page: '"422": description: Validation Error' },
    run: (suite) =>
      holds(
        suite,
        (fast) => fast.record(anyParameters(fast, suite)),
        async (values) => {
          const before = suite.breaches.length;
          const exchange = await suite.client.list(queryOf(values));
          const breach = suite.breaches[before];
          if (breach) throw new Failure(exchange, 'an answer that fits the contract', breach.problem);
          if (exchange.status !== 200 && exchange.status !== 422) throw new Failure(exchange, '200 or 422');
        },
        queryParameters(suite).flatMap(({ name }) => oddTexts.map((text): Values => ({ [name]: text }))),
      ),
  },
  {
    id: 'generated-filters',
    title: 'filters made of parts of the metadata, changed or not, are answered as @> says',
    source: { page: 'Filters using @> (contains) operator for GIN-indexed queries.' },
    run: async (suite) => {
      needKnown(suite, 1);
      const documents = suite.known.map(({ metadata }) => askable(metadata));
      await holds(
        suite,
        (fast) => filtersOf(fast, documents),
        (filter) => expectMatches(suite, JSON.stringify(filter)),
        nearlyWhole(documents),
      );
    },
  },
];

/** Where servers trip that put texts together, by chance seldom among what is made up. */
const oddTexts = ["'", '"', '\\', '%', ';'];

/**
 * Asks with made-up values until one fails, and then with ever smaller ones; after those that are made up, with the ones
 * that are asked in `every` run. Throws the Failure of the smallest, or what else stopped it.
 */
async function holds<T>(
  suite: Suite,
  values: (fast: FastCheck) => fc.Arbitrary<T> | null,
  check: (value: T) => Promise<void>,
  every: T[] = [],
): Promise<void> {
  const { default: fast } = await import('fast-check');
  const arbitrary = values(fast);
  if (!arbitrary) return;
  let smallest: Failure | undefined;
  let stopped: unknown;
  const property = fast.asyncProperty(arbitrary, async (value) => {
    if (stopped !== undefined) return;
    try {
      await check(value);
    } catch (error) {
      if (!(error instanceof Failure)) {
        stopped = error;
        return;
      }
      // Values that fail later are smaller.
      smallest = error;
      throw error;
    }
  });
  await fast.check(property, { seed: suite.options.seed, numRuns: suite.options.generated });
  if (smallest) throw smallest;
  if (stopped !== undefined) throw stopped;
  for (const value of every) await check(value);
}

function queryParameters({ parameters }: Suite) {
  return parameters.filter((parameter) => parameter.in === 'query');
}

/** Of the parameters, by name; null where one is left out. */
type Values = Record<string, string | null>;
type Arbitraries = Record<string, fc.Arbitrary<string | null>>;

/** The schema says that metadata is a text, its description that it is JSON, of pairs. */
function validParameters(fast: FastCheck, suite: Suite): Arbitraries {
  const jsonObject = fast.dictionary(fast.string({ maxLength: 8 }), fast.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
  const entries = queryParameters(suite).map(({ name, schema }): [string, fc.Arbitrary<string | null>] => [
    name,
    fast.option(name === 'metadata' ? jsonObject.map((value) => JSON.stringify(value)) : fitting(fast, schema)),
  ]);
  return Object.fromEntries(entries);
}

function anyParameters(fast: FastCheck, suite: Suite): Arbitraries {
  const entries = queryParameters(suite).map(({ name, schema }): [string, fc.Arbitrary<string | null>] => {
    const some = [fitting(fast, schema), unfitting(fast, schema), fast.json({ maxDepth: 3 })].filter(
      (one) => one !== null,
    );
    return [name, fast.option(fast.oneof(...some))];
  });
  return Object.fromEntries(entries);
}

function queryOf(values: Values): Query {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== null));
}

/** Returns the richest document and, for each of its members, the document but for that: no pair of many may get lost. */
function nearlyWhole(documents: JsonObject[]): JsonObject[] {
  const size = (document: JsonObject) => Object.keys(document).length;
  const [richest = {}] = documents.toSorted((a, b) => size(b) - size(a));
  const members = Object.entries(richest);
  const changed = members.slice(-maxChanged).map(([key]) => {
    return Object.fromEntries(members.map((member) => (member[0] === key ? [key, 'conform_absent'] : member)));
  });
  return [richest, ...changed];
}

function filtersOf(fast: FastCheck, documents: JsonObject[]): fc.Arbitrary<JsonObject> {
  const part = fast.constantFrom(...documents).chain((document) => thinned(fast, document)) as fc.Arbitrary<JsonObject>;
  const near = documents.flatMap(variants);
  return near.length === 0
    ? part
    : fast.oneof(
        part,
        fast.constantFrom(...near),
        fast.tuple(part, part).map(([a, b]) => ({ ...a, ...b })),
      );
}

/** Returns a value with parts left out, and now and then one changed. */
function thinned(fast: FastCheck, value: Json): fc.Arbitrary<Json> {
  if (Array.isArray(value))
    return fast.shuffledSubarray(value).chain((part) => fast.tuple(...part.map((one) => thinned(fast, one))));
  if (value === null || typeof value !== 'object' || JSON.isRawJSON(value)) {
    const others = changes(value).filter((one) => one === null || typeof one !== 'object');
    return fast.oneof(
      { weight: 6, arbitrary: fast.constant(value) },
      { weight: 1, arbitrary: fast.constantFrom(value, ...others) },
    );
  }
  return fast
    .subarray(Object.entries(value))
    .chain((part) => fast.tuple(...part.map(([key, one]) => fast.tuple(fast.constant(key), thinned(fast, one)))))
    .map((entries) => Object.fromEntries(entries) as JsonObject);
}
