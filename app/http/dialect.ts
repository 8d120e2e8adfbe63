import { STATUS_CODES } from 'node:http';

/** The paths of E2B's API, including those that Sandpit does not offer. */
const e2bPath =
  /^\/(sandboxes|snapshots|templates|v2|v3|teams|volumes|volumecontent|secrets|files|execute|contexts|process\.Process|filesystem\.Filesystem)([/?]|$)/;

/** Returns whether responses on this path follow E2B's conventions (otherwise FastAPI's). */
export function isE2b(path: string): boolean {
  return e2bPath.test(path);
}

/** Returns the JSON text of an error that has no message but its status, in the path's dialect. */
export function errorBody(path: string, status: number): string {
  const message = STATUS_CODES[status];
  return JSON.stringify(isE2b(path) ? { code: status, message } : { detail: message });
}
