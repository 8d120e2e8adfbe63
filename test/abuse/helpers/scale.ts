/**
 * Whether this is `npm run abuse`, which measures at full scale. As part of `npm test`, the same
 * cases run at a smaller scale without measurements.
 */
export const isMeasured = process.argv[1]?.endsWith('abuse/runner/main.ts') ?? false;

/** The number of half-open connections; `--full` uses as many as a real attack might. */
const isFull = process.argv.includes('--full');

export const halfOpen = isFull ? 10_000 : isMeasured ? 3000 : 400;
export const slowClients = isMeasured ? 500 : 40;
export const repeats = isMeasured ? 200 : 20;

/** How much data the owner of the heavy requests has. */
export const owned = isFull
  ? { sandboxes: 100_000, large: 1000, snapshots: 20_000, events: 100_000, deliveries: 200_000, atOnce: 64 }
  : isMeasured
    ? { sandboxes: 20_000, large: 200, snapshots: 2000, events: 20_000, deliveries: 50_000, atOnce: 16 }
    : { sandboxes: 400, large: 5, snapshots: 20, events: 200, deliveries: 200, atOnce: 4 };
