import { isE2b } from '../../app/http/dialect.ts';
import { loadContract, operationsOf } from '../../spec/load.ts';
import { operationFinder, responseChecker, schemaChecker } from '../../spec/responses.ts';

export const contract = loadContract();
export const operations = operationsOf(contract);

/** The responses seen by this process: `operationId status`. */
const answered = new Set<string>();
const breaches: string[] = [];

const find = operationFinder(contract);
const breachIn = responseChecker(contract);
const misfitOf = schemaChecker(contract);

/** Checks a response against the contract, and records that the operation returned this status. */
export function checkResponse(method: string, url: string, status: number, contentType: string, body: string): void {
  const [path = ''] = url.split('?');
  const operation = find(method, path)?.operation;
  const declared = operation && (operation.responses[status] ? status : 'default');
  if (operation?.responses[declared ?? '']) answered.add(`${operation.operationId} ${declared}`);
  const isAsset = !operation && status < 400;
  const isOfTestServer = path.startsWith('/_test/') && status === 404;
  if (isAsset || isOfTestServer) return;
  // The contract's description allows these for any operation; an operation must declare every
  // other status.
  const hasDefault = operation !== undefined && 'default' in operation.responses;
  const isCommon = method !== 'HEAD' && !hasDefault && (!operation || [417, 429, 500, 503, 507].includes(status));
  const shape = isE2b(path) ? 'E2BError' : 'Error';
  const breach = isCommon
    ? misfitOf(`#/components/schemas/${shape}`, body)
    : breachIn({ method, path, status, contentType, retryAfter: null, body });
  if (breach) breaches.push(`${method} ${url} answered ${status}: ${breach}`);
}

/** Throws an Error that lists every breach of the contract since the last call. */
export function throwBreaches(): void {
  const found = breaches.splice(0);
  if (found.length > 0) throw new Error(`the contract was broken:\n${found.join('\n')}`);
}

/** Returns every `operationId status` that this process has seen the server answer. */
export function seenStatuses(): string[] {
  return [...answered];
}

/** Returns every `operationId status` that the contract declares and that is not in `seen`. */
export function untestedStatuses(seen: Set<string>): string[] {
  const declared = operations.flatMap(({ operation }) =>
    Object.keys(operation.responses).map((status) => `${operation.operationId} ${status}`),
  );
  return declared.filter((entry) => !seen.has(entry));
}
