import { chunkSize } from './members.ts';

/**
 * A sandbox's position is its row number: the owner's id in the high bits, and in the low 32 bits
 * its ordinal, which counts the owner's sandboxes in the order they were added. So an owner's rows
 * are adjacent, newest last, and a set of them is a set of ordinals. Each 4,096 ordinals form a
 * chunk.
 */
export const ordinalsPerOwner = 2 ** 32;

export function positionOf(ownerId: number, ordinal: number): number {
  return ownerId * ordinalsPerOwner + ordinal;
}

export function ordinalOf(position: number): number {
  return position % ordinalsPerOwner;
}

export function chunkOf(ordinal: number): number {
  return Math.floor(ordinal / chunkSize);
}

export function offsetOf(ordinal: number): number {
  return ordinal % chunkSize;
}
