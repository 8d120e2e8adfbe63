/**
 * Limits and defaults of openapi.yaml that code needs beyond validating requests: it applies them
 * where the file can only describe them. test/contract/limits.test.ts compares them with the file.
 */

/** The length of a metadata filter, in UTF-16 units of its JSON text. */
export const maxFilterLength = 8192;

/** The lifetime of a sandbox for which the client sends none, or null. */
export const defaultLifetimeSeconds = 300;

/** Longer timeouts that E2B's clients set are shortened to this instead of being refused. */
export const maxLifetimeSeconds = 86_400;

/** A refresh by E2B's clients lasts at least this long. */
export const minRefreshSeconds = 15;

/** How many event streams a user may have open at a time. */
export const maxStreamsPerOwner = 32;

/** How many requests a test server records, and how many bytes of each body. */
export const maxRecordedRequests = 1000;
export const maxRecordedBytes = 65_536;
