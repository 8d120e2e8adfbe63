/**
 * InstaVM's SDK knows a sandbox by its session, a UUID. A session's UUID spells the sandbox's id, so that neither has to
 * be kept: the 20 digits to base 36 fill 104 of the 122 bits that version 8 leaves free (RFC 9562, 5.8).
 */
const sandboxId = /^i([a-z0-9]{20})$/;
const uuid = /^([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f]{3})-([0-9a-f]{8})0000$/i;

/** Returns the session of a sandbox; null where its id is not one that Sandpit makes. */
export function sessionIdOf(id: string): string | null {
  const digits = sandboxId.exec(id)?.[1];
  if (!digits) return null;
  const value = [...digits].reduce((sum, digit) => sum * 36n + BigInt(Number.parseInt(digit, 36)), 0n);
  const hex = value.toString(16).padStart(26, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(12, 15)}-8${hex.slice(15, 18)}-${hex.slice(18)}0000`;
}

/** Returns the id of the sandbox of a session; null for a UUID that is no session's. */
export function sandboxOfSession(sessionId: string): string | null {
  const groups = uuid.exec(sessionId)?.slice(1);
  const digits =
    groups &&
    BigInt(`0x${groups.join('')}`)
      .toString(36)
      .padStart(20, '0');
  return digits?.length === 20 ? `i${digits}` : null;
}
