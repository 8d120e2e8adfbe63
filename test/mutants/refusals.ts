import { type Answer, asking, json, type Mutant, refusing } from './mutant.ts';

type Problem = { loc: string[]; msg: string; type: string };

const problems = (change: (problem: Problem) => unknown): Mutant['answer'] =>
  refusing(422, ({ body }) => json(422, { detail: JSON.parse(body).detail.map(change) }));
const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};
const metadata = (change: (text: string) => string): Mutant['answer'] =>
  asking((query) => {
    const text = query.get('metadata');
    if (text !== null) query.set('metadata', change(text));
  });
const unauthorized = (change: (answer: Answer) => Answer): Mutant['answer'] => refusing(401, change);

export const refusalMutants: Mutant[] = [
  {
    name: '400 for 422',
    wrong: 'a bad limit is 400',
    rule: 'validation-status',
    answer: refusing(422, (answer) => ({ ...answer, status: 400 })),
  },
  {
    name: '200 for 422',
    wrong: 'a bad limit gives an empty list',
    rule: 'validation-status',
    answer: refusing(422, () => json(200, [])),
  },
  {
    name: '500 for 422',
    wrong: 'a bad limit is 500',
    rule: 'validation-status',
    answer: refusing(422, () => json(500, { detail: 'Internal Server Error' })),
  },
  {
    name: 'detail a string',
    wrong: '`detail` of a 422 is a string',
    rule: 'validation-body',
    answer: refusing(422, () => json(422, { detail: 'limit is wrong' })),
  },
  {
    name: 'detail empty',
    wrong: '`detail` of a 422 is []',
    rule: 'validation-body',
    answer: refusing(422, () => json(422, { detail: [] })),
  },
  {
    name: 'no detail',
    wrong: 'a 422 says {"error": "..."}',
    rule: 'validation-body',
    answer: refusing(422, () => json(422, { error: 'limit is wrong' })),
  },
  {
    name: 'no loc',
    wrong: 'a problem has no `loc`',
    rule: 'validation-body',
    answer: problems(({ loc: _, ...rest }) => rest),
  },
  {
    name: 'loc a string',
    wrong: '`loc` is "query.limit"',
    rule: 'validation-body',
    answer: problems(({ loc, ...rest }) => ({ ...rest, loc: loc.join('.') })),
  },
  {
    name: 'loc too short',
    wrong: '`loc` is ["query"]',
    rule: 'validation-location',
    answer: problems((problem) => ({ ...problem, loc: ['query'] })),
  },
  {
    name: 'loc elsewhere',
    wrong: '`loc` is ["body"] for everything',
    rule: 'generated-invalid',
    answer: problems((problem) => ({ ...problem, loc: ['body'] })),
  },
  {
    name: 'bad JSON ignored',
    wrong: 'metadata that is not JSON is ignored',
    rule: 'metadata-not-json',
    answer: metadata((text) => (isJson(text) ? text : '{}')),
  },
  {
    name: 'Python accepted',
    wrong: "{'a':1} is accepted as JSON",
    rule: 'metadata-not-json',
    answer: metadata((text) => (isJson(text) ? text : text.replaceAll("'", '"'))),
  },
  {
    name: 'arrays accepted',
    wrong: 'metadata=[] is ignored',
    rule: 'metadata-not-object',
    answer: metadata((text) => (text.startsWith('[') ? '{}' : text)),
  },
  {
    name: 'null accepted',
    wrong: 'metadata=null is ignored',
    rule: 'metadata-not-object',
    answer: metadata((text) => (text === 'null' ? '{}' : text)),
  },
  {
    name: 'bad JSON as 400',
    wrong: 'bad metadata is 400 with a string',
    rule: 'metadata-validation',
    answer: refusing(422, (answer, { query }) =>
      query.has('metadata') ? json(400, { detail: 'Invalid metadata' }) : answer,
    ),
  },
  {
    name: '403 for 401',
    wrong: 'without a credential it is 403',
    rule: 'unauthorized-without-credential',
    answer: unauthorized((answer) => ({ ...answer, status: 403 })),
  },
  {
    name: 'open',
    wrong: 'no credential is needed',
    rule: 'credential-needed',
    answer: ({ query, headers, keys, ask }) =>
      ask(query, Object.keys(headers).length > 0 ? headers : { 'x-api-key': keys.own }),
  },
  {
    name: 'a login page',
    wrong: 'without a credential it is 302',
    rule: 'unauthorized-without-credential',
    answer: unauthorized(() => ({ status: 302, headers: { location: '/login' }, body: '' })),
  },
  {
    name: 'empty for 401',
    wrong: 'without a credential the list is empty',
    rule: 'credential-needed',
    answer: unauthorized(() => json(200, [])),
  },
  {
    name: 'any key',
    wrong: 'every API key is accepted',
    rule: 'unauthorized-wrong-key',
    answer: ({ query, headers, keys, ask }) => ask(query, headers['x-api-key'] ? { 'x-api-key': keys.own } : headers),
  },
  {
    name: 'key by its beginning',
    wrong: 'an API key followed by more is accepted',
    rule: 'unauthorized-wrong-key',
    answer: ({ query, headers, keys, ask }) =>
      ask(query, headers['x-api-key']?.startsWith(keys.own) ? { 'x-api-key': keys.own } : headers),
  },
  {
    name: 'any token',
    wrong: 'every bearer token is accepted',
    rule: 'unauthorized-wrong-bearer',
    answer: ({ query, headers, keys, ask }) =>
      ask(query, headers.authorization?.startsWith('Bearer') ? { 'x-api-key': keys.own } : headers),
  },
  {
    name: 'no challenge',
    wrong: 'a 401 has no WWW-Authenticate',
    rule: 'unauthorized-challenge',
    answer: unauthorized(({ headers: { 'www-authenticate': _, ...headers }, ...answer }) => ({ ...answer, headers })),
  },
  {
    name: 'Basic',
    wrong: 'a 401 asks for Basic',
    rule: 'unauthorized-challenge',
    answer: unauthorized((answer) => ({ ...answer, headers: { ...answer.headers, 'www-authenticate': 'Basic' } })),
  },
  {
    name: 'detail an object',
    wrong: '`detail` of a 401 is an object',
    rule: 'response-declared',
    answer: unauthorized(() => json(401, { detail: { message: 'no' } })),
  },
  {
    name: 'parameters first',
    wrong: 'a bad limit is 422 without a credential',
    rule: 'unauthorized-first',
    answer: refusing(401, async (answer, { query, keys, ask }) => {
      const known = await ask(query, { 'x-api-key': keys.own });
      return known.status === 422 ? known : answer;
    }),
  },
  {
    name: 'token refused',
    wrong: 'Authorization: Bearer is refused',
    rule: 'bearer',
    answer: ({ query, headers: { authorization: _, ...headers }, ask }) => ask(query, headers),
  },
  {
    name: 'X-API-Key refused',
    wrong: 'X-API-Key is refused',
    rule: 'api-key',
    answer: ({ query, headers: { 'x-api-key': _, ...headers }, ask }) => ask(query, headers),
  },
];
