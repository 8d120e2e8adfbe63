import { isE2b } from '../app/errors.ts';
import { checkerOf } from '../spec/check.ts';
import { loadContract, operationsOf, resolve } from '../spec/load.ts';

export const contract = loadContract();
export const operations = operationsOf(contract);

/** What the tests have seen the server answer: `operationId status`. */
export const answered = new Set<string>();
const breaches: string[] = [];

type Response = { content?: Record<string, unknown> };

/** Holds a response against the contract, and remembers that the operation answered with this status. */
export function checkResponse(method: string, url: string, status: number, contentType: string, body: string): void {
  const found = operationAt(method, url.split('?')[0] ?? '');
  const where = `${method} ${url} answered ${status}`;
  // What every path may answer, whatever it is.
  if (!found || [400, 404, 405, 500, 503, 507].includes(status)) {
    if (found?.operation.responses[status]) answered.add(`${found.operation.operationId} ${status}`);
    const isAsset = !found && status < 400;
    const shape = isE2b(url.split('?')[0] ?? '') ? 'E2BError' : 'Error';
    if (!isAsset) tell(where, () => checker(`#/components/schemas/${shape}`)(JSON.parse(body)));
    return;
  }
  const { operation, pointer } = found;
  const response = operation.responses[status] as Response | { $ref: string } | undefined;
  if (!response) return void breaches.push(`${where}, which ${operation.operationId} doesn't declare`);
  answered.add(`${operation.operationId} ${status}`);
  const { content } = resolve<Response>(contract, response);
  if (!content && body === '') return;
  const mediaType = contentType.split(';')[0] ?? '';
  if (!resolve<Response>(contract, response).content?.[mediaType]) {
    return void breaches.push(`${where} with ${contentType}, which ${operation.operationId} doesn't declare`);
  }
  if (mediaType !== 'application/json') return;
  const base = '$ref' in response ? response.$ref : `${pointer}/responses/${status}`;
  tell(where, () => checker(`${base}/content/application~1json/schema`)(JSON.parse(body)));
}

/** Throws an Error with every breach of the contract since the last call. */
export function throwBreaches(): void {
  const found = breaches.splice(0);
  if (found.length > 0) throw new Error(`the contract was broken:\n${found.join('\n')}`);
}

/** Returns every `operationId status` that the contract declares and no test has seen. */
export function untestedStatuses(): string[] {
  const declared = operations.flatMap(({ operation }) =>
    Object.keys(operation.responses).map((status) => `${operation.operationId} ${status}`),
  );
  return declared.filter((entry) => !answered.has(entry));
}

function operationAt(method: string, path: string) {
  // A path that is spelled out goes before one with a parameter in its place.
  const found = byPrecision.find(
    (o) => o.method === method.toLowerCase() && new RegExp(`^${o.path.replace(/\{[^}]*\}/g, '[^/]+')}$`).test(path),
  );
  if (!found) return undefined;
  const escaped = found.path.replaceAll('~', '~0').replaceAll('/', '~1').replace(/[{}]/g, encodeURIComponent);
  return { ...found, pointer: `#/paths/${escaped}/${found.method}` };
}

const byPrecision = operations.toSorted((a, b) => a.path.split('{').length - b.path.split('{').length);

const checkers = new Map<string, (value: unknown) => unknown>();

function checker(pointer: string): (value: unknown) => unknown {
  const known = checkers.get(pointer) ?? checkerOf(contract, pointer);
  checkers.set(pointer, known);
  return known;
}

function tell(where: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    breaches.push(`${where}: ${(error as Error).message}`);
  }
}
