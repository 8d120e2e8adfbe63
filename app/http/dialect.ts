import { STATUS_CODES } from 'node:http';

/** Returns a failure that says nothing but its status, as JSON text in the shape of the path's dialect. */
export function errorBody(path: string, status: number): string {
  const message = STATUS_CODES[status];
  return JSON.stringify(isE2b(path) ? { code: status, message } : { detail: message });
}

/** E2B's paths, offered or not. */
const e2bPath =
  /^\/(sandboxes|snapshots|templates|v2|v3|teams|volumes|volumecontent|secrets|files|execute|contexts|process\.Process|filesystem\.Filesystem)([/?]|$)/;

/** Returns whether errors on this path have E2B's shape. */
export function isE2b(path: string): boolean {
  return e2bPath.test(path);
}
