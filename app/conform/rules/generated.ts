import type fc from 'fast-check';
import type { Json, JsonObject } from '../../../db/json/json.ts';
import { Failure } from '../failure.ts';
import { changes, filterFor, variants } from '../generators/filters.ts';
import { invalidTexts, validTexts } from '../generators/parameters.ts';
import type { Query } from '../http/client.ts';
import { itemsOf } from '../http/items.ts';
import type { Rule } from '../rule.ts';
import type { Suite } from '../suite.ts';
import { expectStatus, needKnown, problemsOf } from './expect.ts';
import { expectMatches } from './filter.ts';

type FastCheck = typeof fc;

/** How many members of a document are changed, each in a filter of its own. */
const maxChanged = 24;

export const generated: Rule[] = [
  {
    id: 'generated-valid',
    title: 'valid generated requests are answered 200 and a list',
    source: { page: 'description: Maximum number of results' },
    run: (suite) =>
      checkGenerated(
        suite,
        (fast) => fast.record(validParameters(fast, suite)),
        async (values) => {
          const exchange = await suite.client.list(queryOf(values));
          expectStatus(exchange, 200, 'every parameter fits the contract');
          const { limit } = values as { limit: string | null };
          const { length } = itemsOf(exchange);
          if (length > Number(limit ?? suite.limits.default))
            throw new Failure(exchange, `${limit ?? suite.limits.default} sandboxes at most`, `${length} sandboxes`);
        },
      ),
  },
  {
    id: 'generated-invalid',
    title: 'invalid generated requests are answered 422 with the name of the parameter',
    source: { page: '"422": description: Validation Error' },
    run: async (suite) => {
      for (const { name, schema } of queryParameters(suite)) {
        await checkGenerated(
          suite,
          (fast) => invalidTexts(fast, schema),
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
    title: 'any generated request gets a declared answer that fits its schema',
    source: { page: '"422": description: Validation Error' },
    run: (suite) =>
      checkGenerated(
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
    title: 'generated filters, made from parts of the metadata, match as @> defines',
    source: { page: 'Filters using @> (contains) operator for GIN-indexed queries.' },
    run: async (suite) => {
      needKnown(suite, 1);
      const documents = suite.known.map(({ metadata }) => filterFor(metadata));
      await checkGenerated(
        suite,
        (fast) => filtersOf(fast, documents),
        (filter) => expectMatches(suite, JSON.stringify(filter)),
        nearlyWhole(documents),
      );
    },
  },
];

/** Texts that break servers which concatenate SQL. Generators rarely produce them. */
const oddTexts = ["'", '"', '\\', '%', ';'];

/**
 * Checks generated values until one fails, then shrinks that one; then checks the values in
 * `always`. Throws the Failure of the smallest value, or any other error.
 */
async function checkGenerated<T>(
  suite: Suite,
  values: (fast: FastCheck) => fc.Arbitrary<T> | null,
  check: (value: T) => Promise<void>,
  always: T[] = [],
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
      // While shrinking, values that fail later are smaller.
      smallest = error;
      throw error;
    }
  });
  await fast.check(property, { seed: suite.options.seed, numRuns: suite.options.generated });
  if (smallest) throw smallest;
  if (stopped !== undefined) throw stopped;
  for (const value of always) await check(value);
}

function queryParameters({ parameters }: Suite) {
  return parameters.filter((parameter) => parameter.in === 'query');
}

/** Texts of parameters by name; null leaves one out. */
type Values = Record<string, string | null>;
type Arbitraries = Record<string, fc.Arbitrary<string | null>>;

/**
 * The schema only says that metadata is a string; its description says that it is a JSON object.
 */
function validParameters(fast: FastCheck, suite: Suite): Arbitraries {
  const jsonObject = fast.dictionary(fast.string({ maxLength: 8 }), fast.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
  const entries = queryParameters(suite).map(({ name, schema }): [string, fc.Arbitrary<string | null>] => [
    name,
    fast.option(name === 'metadata' ? jsonObject.map((value) => JSON.stringify(value)) : validTexts(fast, schema)),
  ]);
  return Object.fromEntries(entries);
}

function anyParameters(fast: FastCheck, suite: Suite): Arbitraries {
  const entries = queryParameters(suite).map(({ name, schema }): [string, fc.Arbitrary<string | null>] => {
    const some = [validTexts(fast, schema), invalidTexts(fast, schema), fast.json({ maxDepth: 3 })].filter(
      (one) => one !== null,
    );
    return [name, fast.option(fast.oneof(...some))];
  });
  return Object.fromEntries(entries);
}

function queryOf(values: Values): Query {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== null));
}

/**
 * Returns the document with the most members, and copies of it with one member changed: a server
 * may ignore some of many pairs.
 */
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

/** Generates the value with some parts left out and, now and then, one changed. */
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
