import type { Request } from 'express';

/** Where Sandpit answers what E2B's clients ask of port 49999 of a sandbox, without this prefix. */
export const codePrefix = '/code-interpreter';

/**
 * Requests that came over the port, which its rules have let pass. E2B's clients send no access
 * token with some of them.
 */
export const reachedByPort = new WeakSet<Request>();
