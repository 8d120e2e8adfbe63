import { createHmac } from 'node:crypto';

/**
 * Returns a function that returns the access token of a sandbox's machine: HMAC-SHA256 of the
 * sandbox's id, in hexadecimal. It is derived, so that no token is stored and that
 * a token is the same after a restart of the server.
 */
export function tokens(key: Buffer): (id: string) => string {
  return (id) => createHmac('sha256', key).update(id).digest('hex');
}

/**
 * Returns a function that returns the token with which the ports of a sandbox are reached that are
 * not public. It is derived like the access token; no id has a space in it.
 */
export function trafficTokens(key: Buffer): (id: string) => string {
  const tokenOf = tokens(key);
  return (id) => tokenOf(`traffic ${id}`);
}
