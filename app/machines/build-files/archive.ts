import type { FileHandle } from 'node:fs/promises';
import { constants, gunzipSync } from 'node:zlib';

/** A tar archive is made of blocks of this length. */
const blockBytes = 512;
/** So much of a compressed file surely holds its first block. */
const readBytes = 4_096;

/**
 * Returns why a file can't be a tar archive, perhaps compressed with gzip; null if it can. Only its
 * beginning is read: a build notices the rest.
 */
export async function archiveProblem(file: FileHandle): Promise<string | null> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(readBytes), 0, readBytes, 0);
  const start = buffer.subarray(0, bytesRead);
  const block = isGzip(start) ? firstBlock(start) : start.subarray(0, blockBytes);
  return isHeader(block) ? null : 'The file is no tar archive, nor one that gzip has compressed';
}

function isGzip(start: Buffer): boolean {
  return start.length > 2 && start.readUInt16BE() === 0x1f8b;
}

function firstBlock(compressed: Buffer): Buffer {
  try {
    return gunzipSync(compressed, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, blockBytes);
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * Returns whether a block begins an archive: its checksum counts its own eight bytes as spaces. An
 * empty archive begins with zeros (POSIX.1-2024, pax, "ustar Interchange Format").
 */
function isHeader(block: Buffer): boolean {
  if (block.length < blockBytes) return false;
  if (block.every((byte) => byte === 0)) return true;
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return Number.parseInt(block.toString('latin1', 148, 156).replaceAll('\0', ' ').trim(), 8) === sum;
}
