import { checkerOf } from './check.ts';
import { type Contract, type Operation, operationsOf, resolve } from './load.ts';

/** An operation of the contract, and the JSON pointer to it. */
export type Found = { method: string; path: string; operation: Operation; pointer: string };

/** A response as it came, and what it answers. The body is null where it isn't known, and then breaks nothing. */
export type Answer = {
  method: string;
  path: string;
  status: number;
  contentType: string;
  retryAfter: string | null;
  body: string | null;
};

/** What any request may be answered, by the contract's description; some of it with `Retry-After`. */
const anywhere = [417, 429, 503, 507];
const withRetryAfter = [429, 503];

type Response = { content?: Record<string, unknown> };

/** Returns a function that returns the operation at a method and a path without its query, or undefined. */
export function operationFinder(contract: Contract): (method: string, path: string) => Found | undefined {
  // A path that is spelled out goes before one with a parameter in its place.
  const byPrecision = operationsOf(contract)
    .toSorted((a, b) => a.path.split('{').length - b.path.split('{').length)
    .map((described) => ({ ...described, pattern: patternOf(described.path) }));
  return (method, path) => {
    const found = byPrecision.find((o) => o.method === method.toLowerCase() && o.pattern.test(path));
    if (!found) return undefined;
    const { pattern: _, ...described } = found;
    const escaped = found.path.replaceAll('~', '~0').replaceAll('/', '~1').replace(/[{}]/g, encodeURIComponent);
    return { ...described, pointer: `#/paths/${escaped}/${found.method}` };
  };
}

/**
 * Returns a function that returns in words how a response breaks the contract, or null: an undeclared status or media
 * type, a body that isn't JSON or doesn't fit the schema. What the contract doesn't describe breaks nothing. That anything
 * may be answered 429, 503 and 507 is in its description; so is 500, but a failure is always worth telling of.
 */
export function responseChecker(contract: Contract): (answer: Answer) => string | null {
  const find = operationFinder(contract);
  const check = schemaChecker(contract);
  return ({ method, path, status, contentType, retryAfter, body }) => {
    const found = find(method, path);
    if (!found) return null;
    const { operation, pointer } = found;
    const declared = operation.responses[status] as Response | { $ref: string } | undefined;
    const response = declared ?? (anywhere.includes(status) ? { $ref: busyResponse(operation) } : undefined);
    if (!declared && response && withRetryAfter.includes(status) && retryAfter === null)
      return `${operation.operationId} is answered ${status} without Retry-After`;
    if (!response) return `${operation.operationId} doesn't declare the status ${status}`;
    const { content } = resolve<Response>(contract, response);
    if (!content && body === '') return null;
    const mediaType = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
    if (!content?.[mediaType])
      return `${operation.operationId} doesn't declare ${contentType || 'no media type'} for ${status}`;
    if (mediaType !== 'application/json' || body === null || method === 'HEAD') return null;
    const base = '$ref' in response ? response.$ref : `${pointer}/responses/${status}`;
    return check(`${base}/content/application~1json/schema`, body);
  };
}

/** Its schema is that of all errors in its dialect. */
function busyResponse({ tags }: Operation): string {
  return `#/components/responses/${tags.some((tag) => tag.startsWith('e2b-')) ? 'E2BBusy' : 'Busy'}`;
}

/** Returns a function that returns in words how JSON text fails to fit the schema that a JSON pointer names, or null. */
export function schemaChecker(contract: Contract): (pointer: string, text: string) => string | null {
  const checkers = new Map<string, (value: unknown) => unknown>();
  return (pointer, text) => {
    const check = checkers.get(pointer) ?? checkerOf(contract, pointer);
    checkers.set(pointer, check);
    try {
      check(JSON.parse(text));
      return null;
    } catch (error) {
      // Its own words show a part of the text, which may be a secret.
      if (error instanceof SyntaxError) return 'the body is not JSON';
      return (error as Error).message;
    }
  };
}

/** Returns the expression of the paths that a template of the contract stands for, `{name}` being one segment. */
export function patternOf(path: string): RegExp {
  const literal = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replace(/\{[^}]*\}/g, '[^/]+')}$`);
}
