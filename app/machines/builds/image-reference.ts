import { isIP } from 'node:net';

/**
 * Returns an image's reference with its registry and its tag, as Docker completes it: `python`
 * means `docker.io/library/python:latest`. Podman would ask which registry is meant.
 */
export function wholeReference(given: string): string {
  const host = registryOf(given);
  const path = host === null ? given : given.slice(host.length + 1);
  const isTagged = /@|:[\w.-]+$/.test(path);
  const named = isTagged ? path : `${path}:latest`;
  if (host !== null && host !== 'docker.io') return `${host}/${named}`;
  return `docker.io/${path.includes('/') ? named : `library/${named}`}`;
}

/** Returns the host and the port that a reference names, or null. */
function registryOf(reference: string): string | null {
  const slash = reference.indexOf('/');
  const first = slash === -1 ? '' : reference.slice(0, slash);
  return /[.:]/.test(first) || first === 'localhost' ? first : null;
}

/** The grammar of references (distribution/reference), with a registry. */
const reference =
  /^[\w.-]+(:\d+)?(\/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)+(:\w[\w.-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,128})?$/i;

/**
 * Returns why an image may not be pulled for a user, or null. An engine is a program of this host,
 * and would ask servers for a user that the user can't reach.
 */
export function mayBePulled(whole: string): string | null {
  if (whole.length > 255 || !reference.test(whole)) return 'that is no reference of an image';
  const host = (registryOf(whole) ?? '').replace(/:\d+$/, '');
  const isName = host.includes('.') && isIP(host) === 0 && !/\.(local|internal|localhost|lan)$/i.test(host);
  return isName ? null : `users can't pull from ${host}, which may be a server of this network`;
}
