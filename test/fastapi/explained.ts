import { type Sent, SentNumber, type SentObject } from '../../db/json/reader.ts';
import { type Answer, canonicalText, differences } from './compare.ts';
import type { Asked } from './requests.ts';

/** Two responses to one request. */
export type Pair = { asked: Asked; fastapi: Answer; sandpit: Answer };

type OfAnswer = { reason: string; holds: (pair: Pair) => boolean };
/** One entry of a 422's `detail`, from either server. */
type OfProblem = { reason: string; isMeant: (problem: SentObject, pair: Pair) => boolean };

/** Intended differences between whole responses. CONTRACT-TESTING.md has this list for readers. */
const ofAnswers: OfAnswer[] = [
  {
    reason: 'blanks: Sandpit takes several between Bearer and the token, as newer FastAPI does',
    holds: ({ asked, fastapi }) => /^Bearer {2,}\S/.test(String(asked.headers.Authorization)) && fastapi.status === 401,
  },
  {
    reason: 'slash: for a slash too many or too few FastAPI redirects, Sandpit answers 404 or 405',
    holds: ({ asked, fastapi, sandpit }) =>
      fastapi.status === 307 && [404, 405].includes(sandpit.status) && fastapi.headers.location !== asked.path,
  },
  {
    reason: 'Allow: Sandpit names all methods of a path, FastAPI those of one route',
    holds: ({ fastapi, sandpit }) =>
      fastapi.status === 405 &&
      differences(fastapi, sandpit).join() === 'allow' &&
      (fastapi.headers.allow ?? '').split(', ').every((method) => sandpit.headers.allow?.split(', ').includes(method)),
  },
  {
    reason: 'HEAD: Sandpit answers it on /health, which monitors ask so',
    holds: ({ asked, sandpit }) =>
      asked.method === 'HEAD' && decodeURI(asked.path) === '/health' && sandpit.status === 200,
  },
  {
    reason: 'fragment: Sandpit leaves it out of the query, and clients send none',
    holds: ({ asked }) => asked.path.includes('#'),
  },
  {
    reason: 'empty fields of a form are missing to Sandpit, as to newer FastAPI',
    holds: ({ asked }) =>
      asked.path === '/v1/auth/token' && /(^|&)(username|password|grant_type)=?(&|$)/.test(asked.body ?? ''),
  },
  {
    reason: 'not offered: Sandpit names with 501 a member that clients know and it does not offer',
    holds: ({ fastapi, sandpit }) =>
      sandpit.status === 501 && problemsIn(fastapi).some((problem) => problem.get('type') === 'extra_forbidden'),
  },
];

/** Intended differences between single problems. */
const ofProblems: OfProblem[] = [
  {
    reason: 'floats: Sandpit takes 300.0 as an integer, as JSON Schema does, and says why it takes 1.5 for none',
    isMeant: (problem) =>
      isFloat(problem.get('input')) &&
      ['int_type', 'int_from_float', 'less_than_equal', 'greater_than_equal'].includes(String(problem.get('type'))),
  },
  {
    reason: 'true is 1 to Python, and none of 1, 2, 4, 6 and 8 to Sandpit',
    isMeant: (problem) => problem.get('type') === 'literal_error' && problem.get('input') === true,
  },
  {
    reason: 'ctx: the error of a value_error is {} in FastAPI, text in Sandpit',
    isMeant: (problem) => problem.get('type') === 'value_error' && placeOf(problem) === 'body',
  },
  {
    reason: 'metadata that is no JSON object is refused: to FastAPI it is any text',
    isMeant: (problem) =>
      placeOf(problem) === 'query.metadata' &&
      ['json_invalid', 'dict_type', 'value_error'].includes(String(problem.get('type'))),
  },
  {
    reason: 'nothing: Sandpit accepts null, false or an empty value of a member that it does not offer',
    isMeant: (problem, { asked }) =>
      asked.method === 'PATCH' && problem.get('type') === 'extra_forbidden' && isNothing(problem.get('input')),
  },
  {
    reason: 'zeros: pydantic reads 0-5 as -5 and 0__5 as 5, Sandpit reads no integer',
    isMeant: (problem) => placeOf(problem) === 'query.limit' && /^\s*\+?0[0_]*[-_]/.test(String(problem.get('input'))),
  },
];

export const reasons = [...ofAnswers, ...ofProblems].map(({ reason }) => reason);

/** Returns why two responses are intended to differ, or null if no reason is listed. */
export function reasonOf(pair: Pair): string | null {
  const found = ofAnswers.find(({ holds }) => holds(pair));
  return found ? found.reason : reasonInProblems(pair);
}

/** Without the intended differences, the responses must be equal. */
function reasonInProblems(pair: Pair): string | null {
  const met = new Set<string>();
  const rest = (answer: Answer) =>
    problemsIn(answer).filter((problem) => {
      const reason = ofProblems.find(({ isMeant }) => isMeant(problem, pair))?.reason;
      if (reason) met.add(reason);
      return !reason;
    });
  const [fastapi, sandpit] = [rest(pair.fastapi), rest(pair.sandpit)];
  if (canonicalText(fastapi) !== canonicalText(sandpit) || isElsewhere(pair)) return null;
  return [...met][0] ?? null;
}

/**
 * Returns whether the responses differ in more than the refused values: each must be a 422 or a
 * success.
 */
function isElsewhere({ fastapi, sandpit }: Pair): boolean {
  const isExpected = ({ status }: Answer) => status === 422 || status < 300 || status === 404 || status === 401;
  return !isExpected(fastapi) || !isExpected(sandpit) || (fastapi.status !== 422 && sandpit.status !== 422);
}

function problemsIn({ json }: Answer): SentObject[] {
  const detail = json instanceof Map ? json.get('detail') : undefined;
  return Array.isArray(detail) ? detail.filter((problem) => problem instanceof Map) : [];
}

function placeOf(problem: SentObject): string {
  const loc = problem.get('loc');
  return Array.isArray(loc) ? loc.join('.') : '';
}

function isNothing(value: Sent | undefined): boolean {
  return (
    value === null ||
    value === false ||
    value === '' ||
    JSON.stringify(value) === '[]' ||
    (value instanceof Map && value.size === 0)
  );
}

function isFloat(value: Sent | undefined): boolean {
  return value instanceof SentNumber && /[.e]/.test(value.text);
}
