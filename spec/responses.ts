import { checkerOf } from './check.ts';
import { type Contract, type Operation, operationsOf, resolve } from './load.ts';

/** An operation of the contract, and the JSON pointer to it. */
export type Found = { method: string; path: string; operation: Operation; pointer: string };

/**
 * A response and the request that it answers. The body is null if it is unknown; then it isn't
 * checked.
 */
export type Answer = {
  method: string;
  path: string;
  status: number;
  contentType: string;
  retryAfter: string | null;
  body: string | null;
};

/** The statuses that the contract's description allows for any request, some with `Retry-After`. */
const anywhere = [417, 429, 503, 507];
const withRetryAfter = [429, 503];

type Response = { content?: Record<string, unknown> };

/** Returns a function that finds the operation for a method and a path without query, if any. */
export function operationFinder(contract: Contract): (method: string, path: string) => Found | undefined {
  // A literal path takes precedence over one with a parameter, whatever its methods.
  const byPrecision = operationsOf(contract)
    .toSorted((a, b) => a.path.split('{').length - b.path.split('{').length)
    .map((described) => ({ ...described, pattern: patternOf(described.path) }));
  return (method, path) => {
    const best = byPrecision.find(({ pattern }) => pattern.test(path))?.path;
    const found = byPrecision.find((o) => o.path === best && o.method === method.toLowerCase());
    if (!found) return undefined;
    const { pattern: _, ...described } = found;
    const escaped = found.path.replaceAll('~', '~0').replaceAll('/', '~1').replace(/[{}]/g, encodeURIComponent);
    return { ...described, pointer: `#/paths/${escaped}/${found.method}` };
  };
}

/**
 * Returns a function that describes how a response violates the contract, or returns null: an
 * undeclared status or media type, a body that isn't JSON or doesn't match the schema. Requests
 * that the contract doesn't describe are not checked. Its description allows 417, 429, 503 and 507
 * everywhere. It allows 500 as well, but that is reported, because a failure always needs
 * attention.
 */
export function responseChecker(contract: Contract): (answer: Answer) => string | null {
  const find = operationFinder(contract);
  const check = schemaChecker(contract);
  return ({ method, path, status, contentType, retryAfter, body }) => {
    const found = find(method, path);
    if (!found) return null;
    const { operation, pointer } = found;
    const key = status in operation.responses ? status : 'default';
    const declared = operation.responses[key] as Response | { $ref: string } | undefined;
    const response = declared ?? (anywhere.includes(status) ? { $ref: busyResponse(operation) } : undefined);
    if (!declared && response && withRetryAfter.includes(status) && retryAfter === null)
      return `${operation.operationId} is answered ${status} without Retry-After`;
    if (!response) return `${operation.operationId} doesn't declare the status ${status}`;
    const { content } = resolve<Response>(contract, response);
    if (!content && body === '') return null;
    const mediaType = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
    if (!content?.[mediaType] && !content?.['*/*'])
      return `${operation.operationId} doesn't declare ${contentType || 'no media type'} for ${status}`;
    if (mediaType !== 'application/json' || body === null || method === 'HEAD') return null;
    const base = '$ref' in response ? response.$ref : `${pointer}/responses/${key}`;
    return check(`${base}/content/application~1json/schema`, body);
  };
}

/** Returns the reference of the response that has the dialect's error schema. */
function busyResponse({ tags }: Operation): string {
  return `#/components/responses/${tags.some((tag) => tag.startsWith('e2b-')) ? 'E2BBusy' : 'Busy'}`;
}

/**
 * Returns a function that describes how a JSON text violates the schema at a JSON pointer, or
 * returns null.
 */
export function schemaChecker(contract: Contract): (pointer: string, text: string) => string | null {
  const checkers = new Map<string, (value: unknown) => unknown>();
  return (pointer, text) => {
    const check = checkers.get(pointer) ?? checkerOf(contract, pointer);
    checkers.set(pointer, check);
    try {
      check(JSON.parse(text));
      return null;
    } catch (error) {
      // The parser's message quotes the text, which may contain a secret.
      if (error instanceof SyntaxError) return 'the body is not JSON';
      return (error as Error).message;
    }
  };
}

/** Returns a regular expression for the paths of a path template; `{name}` matches one segment. */
export function patternOf(path: string): RegExp {
  const literal = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replace(/\{[^}]*\}/g, '[^/]+')}$`);
}
