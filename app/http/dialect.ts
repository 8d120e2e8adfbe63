import { STATUS_CODES } from 'node:http';
import { type Contract, loadContract, operationsOf } from '../../spec/load.ts';

/** The first segments of E2B's paths, once they are known. */
let e2bSegments: Set<string> | undefined;

/**
 * Returns whether responses on this path follow E2B's conventions (otherwise FastAPI's). They do if
 * the contract has a path of E2B's with the same first segment, be it an operation or a path that
 * is not offered.
 */
export function isE2b(path: string): boolean {
  e2bSegments ??= segmentsOf(loadContract());
  return e2bSegments.has(firstSegment(path));
}

function segmentsOf(contract: Contract): Set<string> {
  const operations = operationsOf(contract).filter(({ operation }) =>
    operation.tags.some((tag) => tag.startsWith('e2b-')),
  );
  const notOffered = contract['x-not-offered-paths'].filter(({ dialect }) => dialect === 'e2b');
  return new Set(
    [...operations.map(({ path }) => path), ...notOffered.flatMap(({ paths }) => paths)].map(firstSegment),
  );
}

function firstSegment(path: string): string {
  return /^\/[^/?]*/.exec(path)?.[0] ?? '';
}

/** Returns the JSON text of an error that has no message but its status, in the path's dialect. */
export function errorBody(path: string, status: number): string {
  const message = STATUS_CODES[status];
  return JSON.stringify(isE2b(path) ? { code: status, message } : { detail: message });
}
