import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Context } from '../context.ts';

/** The port of E2B's agent: Sandpit itself answers for it. */
export const agentPort = 49_983;
/** The port of E2B's code interpreter. */
export const codePort = 49_999;

/** A port of a sandbox that a request names. */
export type PortTarget = { id: string; port: number };

/**
 * Returns a function that returns the port of a sandbox that a request is for: `<port>-<id>` below
 * the configured domain, or below `localhost`, whose names lead to this machine (RFC 6761, 6.3).
 * The headers `E2b-Sandbox-Id` and `E2b-Sandbox-Port` name one at `sandbox.<domain>`, and with
 * machines at any other host, except for the agent's: there the paths tell. It returns null for
 * every other request, and for a port that is named badly a text that says what is wrong.
 */
export function portFinder({
  config: { domain },
  machines,
}: Pick<Context, 'config' | 'machines'>): (headers: IncomingHttpHeaders) => PortTarget | string | null {
  const suffixes = [...(domain === undefined ? [] : [nameOf(domain)]), ...(machines ? ['localhost'] : [])];
  const labelOf = (host: string) => {
    const suffix = suffixes.find((each) => host.endsWith(`.${each}`));
    return suffix === undefined ? null : host.slice(0, -suffix.length - 1);
  };
  return (headers) => {
    const label = labelOf(nameOf(headers.host ?? ''));
    const [, port, id] = /^(\d{1,10})-([a-z0-9-]+)$/.exec(label ?? '') ?? [];
    if (port !== undefined && id !== undefined) return checked(id, port);
    const isShared = label === 'sandbox';
    const named = headers['e2b-sandbox-port'];
    // With records only, the port of the code interpreter is answered for as well.
    const isNamed = machines === null ? Number(named) === codePort : Number(named) !== agentPort;
    if (!isShared && (named === undefined || !isNamed)) return null;
    return checked(headers['e2b-sandbox-id'], named);
  };
}

/**
 * Returns a function that returns the share that a request is for: its id is a name below the
 * configured domain, or below `localhost`. It returns null for every other request.
 */
export function shareFinder({
  config: { domain },
}: Pick<Context, 'config'>): (headers: IncomingHttpHeaders) => string | null {
  const suffixes = ['localhost', ...(domain === undefined ? [] : [nameOf(domain)])];
  return ({ host = '' }) => {
    const [, id, suffix = ''] = /^(s[a-z0-9]{20})\.(.+)$/.exec(nameOf(host)) ?? [];
    return id !== undefined && suffixes.includes(suffix) ? id : null;
  };
}

/**
 * Returns a function that reports whether a request asks a port for another protocol. One with a
 * body is not: a program that stays with HTTP must get the body.
 */
export function portUpgrades(context: Pick<Context, 'config' | 'machines'>): (req: IncomingMessage) => boolean {
  const [find, findShare] = [portFinder(context), shareFinder(context)];
  return ({ headers }) => {
    if ((headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined) return false;
    if (context.machines === null) return false;
    const target = find(headers);
    if (target === null) return findShare(headers) !== null;
    return typeof target !== 'string' && target.port !== agentPort;
  };
}

/** Returns an authority's host in lower case, without its port. */
export function nameOf(authority: string): string {
  return authority.toLowerCase().replace(/:\d+$/, '');
}

function checked(id: string | string[] | undefined, port: string | string[] | undefined): PortTarget | string {
  if (typeof id !== 'string' || typeof port !== 'string') return 'Send E2b-Sandbox-Id and E2b-Sandbox-Port';
  const number = Number(port);
  if (!/^\d+$/.test(port) || number < 1 || number > 65_535) return 'Invalid sandbox port';
  return { id, port: number };
}
