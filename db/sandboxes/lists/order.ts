/** `desc`: newest first, ties by id ascending. `asc` is the exact reverse. */
export type Order = 'desc' | 'asc';

/** Returns the comparison function that sorts rows in this order. */
export function inOrder(
  order: Order,
): (a: { startedAt: number; id: string }, b: { startedAt: number; id: string }) => number {
  const sign = order === 'desc' ? 1 : -1;
  return (a, b) => sign * (b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1));
}
