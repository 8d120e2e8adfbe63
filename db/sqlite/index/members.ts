/**
 * A posting list: the set of those of a chunk's 4,096 sandboxes that have a pair, by offset, as
 * the table stores it. Up to 255 offsets are a sorted list of 16-bit little-endian numbers; more
 * are a bitmap of 512 bytes. The length distinguishes the two.
 */
export type Members = Uint8Array;

export const chunkSize = 4096;
const bitmapBytes = chunkSize / 8;

/** Returns the set of these offsets, which may be unsorted and contain duplicates. */
export function membersOf(offsets: number[]): Members {
  const sorted = offsets.length > 1 ? [...new Set(offsets)].sort((a, b) => a - b) : offsets;
  return sorted.length * 2 < bitmapBytes ? listOf(sorted) : withAll(new Uint8Array(bitmapBytes), sorted);
}

/** Yields the offsets, highest first. */
export function* descending(members: Members): Generator<number> {
  if (isList(members)) {
    for (let index = members.length / 2 - 1; index >= 0; index--) yield listed(members, index);
    return;
  }
  for (let at = bitmapBytes - 1; at >= 0; at--) {
    const bits = members[at] as number;
    for (let bit = 7; bits !== 0 && bit >= 0; bit--) if ((bits >> bit) & 1) yield at * 8 + bit;
  }
}

export function has(members: Members, offset: number): boolean {
  if (!isList(members)) return (((members[offset >> 3] as number) >> (offset & 7)) & 1) === 1;
  let low = 0;
  let high = members.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (listed(members, middle) < offset) low = middle + 1;
    else high = middle;
  }
  return low < members.length / 2 && listed(members, low) === offset;
}

/** Returns the offsets that are in both sets. */
export function intersection(a: Members, b: Members): Members {
  if (isList(a)) return listOf([...descending(a)].reverse().filter((offset) => has(b, offset)));
  if (isList(b)) return intersection(b, a);
  return a.map((byte, at) => byte & (b[at] as number));
}

/** Returns the offsets that are in either set. */
export function union(a: Members, b: Members): Members {
  if (!isList(a)) return withAll(a.slice(), descending(b));
  if (!isList(b)) return union(b, a);
  const isAppended = a.length === 0 || listed(a, a.length / 2 - 1) < listed(b, 0);
  if (isAppended && a.length + b.length < bitmapBytes) return Buffer.concat([a, b]);
  return membersOf([...descending(a), ...descending(b)]);
}

/** Returns the offsets of `a` that are not in `b`. */
export function difference(a: Members, b: Members): Members {
  if (isList(a)) return listOf([...descending(a)].reverse().filter((offset) => !has(b, offset)));
  const rest = a.slice();
  for (const offset of descending(b)) rest[offset >> 3] = (rest[offset >> 3] as number) & ~(1 << (offset & 7));
  const offsets = [...descending(rest)];
  return offsets.length * 2 < bitmapBytes ? listOf(offsets.reverse()) : rest;
}

function isList(members: Members): boolean {
  return members.length !== bitmapBytes;
}

function listed(list: Members, index: number): number {
  return (list[index * 2] as number) | ((list[index * 2 + 1] as number) << 8);
}

function listOf(sorted: number[]): Members {
  const list = new Uint8Array(sorted.length * 2);
  for (const [index, offset] of sorted.entries()) {
    list[index * 2] = offset & 0xff;
    list[index * 2 + 1] = offset >> 8;
  }
  return list;
}

function withAll(bitmap: Uint8Array, offsets: Iterable<number>): Members {
  for (const offset of offsets) bitmap[offset >> 3] = (bitmap[offset >> 3] as number) | (1 << (offset & 7));
  return bitmap;
}
