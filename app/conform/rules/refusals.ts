import { Failure } from '../failure.ts';
import type { Rule } from '../rule.ts';
import type { Suite } from '../suite.ts';
import { expectRefused, expectStatus, problemsOf } from './expect.ts';

const badJson = ['x', '{', '{"a":1', "{'a':1}", '{"a":1,}', '{} {}'];
const noObjects = ['[]', '[{"a":1}]', '"a"', '5', 'true', 'null'];

const notIgnored = 'metadata that is not a JSON object is refused, rather than ignored';

export const refusals: Rule[] = [
  {
    id: 'validation-status',
    title: 'a parameter that breaks the contract is answered 422',
    source: { page: '"422": description: Validation Error' },
    run: async (suite) => {
      for (const limit of badLimits(suite))
        expectStatus(await suite.client.list({ limit }), 422, `limit=${limit} is a validation error`);
    },
  },
  {
    id: 'validation-body',
    title: 'a 422 lists the problems in `detail`, each with loc, msg and type',
    source: { page: 'required: - loc - msg - type' },
    run: async (suite) => {
      for (const limit of badLimits(suite)) {
        const exchange = await suite.client.list({ limit });
        expectRefused(exchange, `limit=${limit} is a validation error`);
        problemsOf(exchange);
      }
    },
  },
  {
    id: 'validation-location',
    title: 'the `loc` of a problem names the parameter',
    source: {
      reading:
        'as in FastAPI, which defined this format, `loc` ends with the name of the parameter: ["query", "limit"]',
    },
    run: async (suite) => {
      for (const limit of badLimits(suite)) {
        const exchange = await suite.client.list({ limit });
        if (!problemsOf(exchange).some(({ loc }) => loc.at(-1) === 'limit'))
          throw new Failure(exchange, 'a `loc` that ends with "limit"');
      }
    },
  },
  {
    id: 'metadata-not-json',
    title: 'metadata that is not JSON is refused',
    source: { reading: notIgnored },
    run: refusing(badJson, 'is not JSON'),
  },
  {
    id: 'metadata-not-object',
    title: 'metadata that is not a JSON object is refused',
    source: { reading: notIgnored },
    run: refusing(noObjects, 'is not an object'),
  },
  {
    id: 'metadata-validation',
    title: 'invalid metadata is a validation error: 422, and `loc` names the parameter',
    source: { reading: 'a filter that is not a JSON object is a validation error of the parameter `metadata`' },
    run: async ({ client }) => {
      for (const metadata of ['{', '[]']) {
        const exchange = await client.list({ metadata });
        expectStatus(exchange, 422, `metadata=${metadata} is a validation error`);
        if (!problemsOf(exchange).some(({ loc }) => loc.includes('metadata')))
          throw new Failure(exchange, 'a `loc` with "metadata"');
      }
    },
  },
  {
    id: 'unknown-parameters',
    title: 'unknown query parameters are ignored',
    source: { reading: 'as in FastAPI, an unknown query parameter is no error' },
    run: async ({ client }) => {
      // Unlikely names, because other servers may have parameters that the contract lacks, e.g.
      // `status`.
      for (const name of ['conform', 'conform_a', 'conform-b', 'conformC'])
        expectStatus(await client.list({ [name]: '0' }), 200, `the contract has no parameter ${name}`);
    },
  },
];

function badLimits({ limits: { minimum, maximum } }: Suite): string[] {
  return [String(minimum - 1), String(maximum + 1), 'abc'];
}

function refusing(values: string[], why: string): Rule['run'] {
  return async ({ client }) => {
    for (const metadata of values) expectRefused(await client.list({ metadata }), `metadata=${metadata} ${why}`);
  };
}
