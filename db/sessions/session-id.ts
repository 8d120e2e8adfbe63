/**
 * InstaVM's SDK identifies a sandbox by its session, a UUID. The UUID encodes the sandbox's id, so
 * that no table has to map one to the other: the id's 20 base-36 digits fit into 104 of the 122
 * bits that a UUID of version 8 leaves free (RFC 9562, 5.8).
 */
const sandboxId = /^i([a-z0-9]{20})$/;
const uuid = /^([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f]{3})-([0-9a-f]{8})0000$/i;

/** Returns the session id of a sandbox; null for a sandbox id that Sandpit did not make. */
export function sessionIdOf(id: string): string | null {
  const digits = sandboxId.exec(id)?.[1];
  if (!digits) return null;
  const value = [...digits].reduce((sum, digit) => sum * 36n + BigInt(Number.parseInt(digit, 36)), 0n);
  const hex = value.toString(16).padStart(26, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(12, 15)}-8${hex.slice(15, 18)}-${hex.slice(18)}0000`;
}

/** Returns the id of a session's sandbox; null for a UUID that encodes none. */
export function sandboxOfSession(sessionId: string): string | null {
  const groups = uuid.exec(sessionId)?.slice(1);
  if (!groups) return null;
  const value = BigInt(`0x${groups.join('')}`);
  const digits = value.toString(36).padStart(20, '0');
  return digits.length === 20 ? `i${digits}` : null;
}

/** Returns the id of a sandbox's session; null for a sandbox id that Sandpit did not make. */
export function sessionOf({ id, sessionId }: { id: string; sessionId: string | null }): string | null {
  return sessionId ?? sessionIdOf(id);
}
