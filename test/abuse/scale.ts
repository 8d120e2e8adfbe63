/** `npm run abuse` measures and takes its time; among the other tests the same is done with fewer, and nothing measured. */
export const isMeasured = process.argv[1]?.endsWith('abuse/main.ts') ?? false;

/** With `--full`, as many half-open connections as a server may meet. */
const isFull = process.argv.includes('--full');

export const halfOpen = isFull ? 10_000 : isMeasured ? 3000 : 400;
export const slowClients = isMeasured ? 500 : 40;
export const repeats = isMeasured ? 200 : 20;
