import { stripVTControlCharacters } from 'node:util';
import type { ImageInfo, PullProgress } from '../driver.ts';
import type { MachineError } from '../error.ts';
import type { Msb } from './runtime/msb.ts';

type Inspected = { digest?: string; size_bytes?: number };

const pullMilliseconds = 3_600_000;
const reportMilliseconds = 1000;

/** Returns an image that msb has, or null. */
export async function findImage(msb: Msb, reference: string): Promise<ImageInfo | null> {
  try {
    const { digest, size_bytes: size } = await msb.json<Inspected>(['image', 'inspect', reference], {
      doing: 'look at the image',
    });
    return { id: digest ?? reference, sizeBytes: size ?? 0 };
  } catch (error) {
    if ((error as MachineError).code === 'no_image') return null;
    throw error;
  }
}

/** Fetches an image. Reports msb's newest words at most once a second. */
export async function pullImage(
  msb: Msb,
  reference: string,
  onProgress: PullProgress,
  signal: AbortSignal,
): Promise<void> {
  let reportedAt = 0;
  const onWords = (text: string) => {
    const words = stripVTControlCharacters(text)
      .split(/[\r\n]/)
      .findLast((line) => line.trim() !== '');
    if (words === undefined || performance.now() - reportedAt < reportMilliseconds) return;
    reportedAt = performance.now();
    onProgress(words.trim().slice(0, 100));
  };
  onProgress('asking the registry');
  await msb.run(['pull', reference], { doing: `fetch ${reference}`, milliseconds: pullMilliseconds, signal, onWords });
}
