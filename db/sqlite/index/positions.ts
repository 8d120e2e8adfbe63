import { chunkSize } from './members.ts';

/**
 * A sandbox's position is its row number: its owner's id and, below it, its ordinal, which counts the owner's sandboxes
 * in the order they came. An owner's sandboxes thus lie together, newest last, and a set of them is a set of ordinals.
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
