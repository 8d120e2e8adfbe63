import { StoreError } from '../../../db/errors.ts';
import { defaultSize } from '../../../db/sandboxes/insert.ts';
import type { MachineSpec } from '../driver.ts';
import type { Image } from '../images/images.ts';

export type Size = Pick<MachineSpec, 'vcpuCount' | 'memoryMb'>;

/** What a request asks for; null: what the snapshot has, else the default. */
export type AskedSize = { vcpuCount: number | null; memoryMb: number | null };

/**
 * Returns the size of a machine that is made from an image. Throws StoreError `refused` for another
 * size than that of a snapshot which holds memory: what is in memory has the size that it has.
 */
export function sizeOf(asked: AskedSize, { size, hasMemory }: Pick<Image, 'size' | 'hasMemory'>): Size {
  const { vcpuCount, memoryMb } = size ?? defaultSize;
  const wanted = { vcpuCount: asked.vcpuCount ?? vcpuCount, memoryMb: asked.memoryMb ?? memoryMb };
  if (hasMemory && (wanted.vcpuCount !== vcpuCount || wanted.memoryMb !== memoryMb)) {
    const has = `${memoryMb} MB and ${vcpuCount} virtual CPUs`;
    throw new StoreError('refused', `The snapshot holds the memory of a machine with ${has}: ask for the same`);
  }
  return wanted;
}
