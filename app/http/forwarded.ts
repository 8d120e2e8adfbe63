import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

const forwarded = new WeakSet<ServerResponse>();

/** Makes a response another server's, which passes through: it gets no headers of Sandpit's. */
export function markForwarded(res: ServerResponse): void {
  forwarded.add(res);
  for (const name of res.getHeaderNames()) res.removeHeader(name);
  res.sendDate = false;
}

export function isForwarded(res: ServerResponse): boolean {
  return forwarded.has(res);
}

/** A connection that a request wants to upgrade, and the bytes that were read after it. */
export type Upgrade = { socket: Duplex; head: Buffer };

const upgrades = new WeakMap<ServerResponse, Upgrade>();

export function setUpgrade(res: ServerResponse, upgrade: Upgrade): void {
  upgrades.set(res, upgrade);
}

/** Returns the connection of a request that wants to upgrade it; undefined for every other one. */
export function upgradeOf(res: ServerResponse): Upgrade | undefined {
  return upgrades.get(res);
}
