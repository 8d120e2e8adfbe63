/** `npm run abuse` measures and takes its time; among the other tests the same is done with fewer, and nothing measured. */
export const isMeasured = process.argv[1]?.endsWith('abuse/runner/main.ts') ?? false;

/** With `--full`, as many half-open connections as a server may meet. */
const isFull = process.argv.includes('--full');

export const halfOpen = isFull ? 10_000 : isMeasured ? 3000 : 400;
export const slowClients = isMeasured ? 500 : 40;
export const repeats = isMeasured ? 200 : 20;

/** What the owner has whose heavy requests are tried. */
export const owned = isFull
  ? { sandboxes: 100_000, large: 1000, snapshots: 20_000, events: 100_000, deliveries: 200_000, atOnce: 64 }
  : isMeasured
    ? { sandboxes: 20_000, large: 200, snapshots: 2000, events: 20_000, deliveries: 50_000, atOnce: 16 }
    : { sandboxes: 400, large: 5, snapshots: 20, events: 200, deliveries: 200, atOnce: 4 };
