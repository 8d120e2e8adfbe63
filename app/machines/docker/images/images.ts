import type { ImageInfo, PullProgress } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { machineError } from '../engine/failures.ts';
import { jsonLines } from '../engine/lines.ts';
import { ignoring } from '../program.ts';
import { PullState } from './pull-progress.ts';

/** Milliseconds that a pull may take, and how long it may say nothing. */
const pullDeadline = 3_600_000;
const pullSilence = 300_000;

const missingWords =
  /not found|manifest unknown|pull access denied|does not exist|requested access .* denied|no such image|unauthorized|name unknown/i;
const networkWords =
  /no such host|connection refused|i\/o timeout|timeout exceeded|network is unreachable|tls|server misbehaving|temporary failure/i;

/** Returns an image that the engine has; null if it has not. */
export async function findImage(engine: Engine, reference: string): Promise<ImageInfo | null> {
  const found = await callEngine('look at the image', deadlines.read, (abortSignal) =>
    ignoring(404, engine.docker.getImage(reference).inspect({ abortSignal } as object)),
  );
  return found === null ? null : { id: found.Id, sizeBytes: found.Size };
}

/**
 * Makes the engine fetch an image, and reports how far it is at most once a second. Rejects with
 * MachineError: `no_image` when the registry has none, `unavailable` when it can't be reached.
 */
export async function pullImage(
  engine: Engine,
  reference: string,
  onProgress: PullProgress,
  signal: AbortSignal,
): Promise<void> {
  const silence = new AbortController();
  const hush = setTimeout(() => silence.abort(), pullSilence);
  const ending = AbortSignal.any([signal, silence.signal]);
  const pull = async (abortSignal: AbortSignal) => {
    const state = new PullState(onProgress);
    const stream = await engine.docker.pull(reference, { abortSignal }).catch((error) => {
      throw refusal(
        reference,
        (error as { json?: { message?: string } }).json?.message ?? (error as Error).message,
        error,
      );
    });
    for await (const line of jsonLines(stream as AsyncIterable<Buffer>)) {
      hush.refresh();
      const failure = state.take(line);
      if (failure !== null) throw refusal(reference, failure);
    }
  };
  try {
    await callEngine(`pull ${reference}`, pullDeadline, pull, ending);
  } finally {
    clearTimeout(hush);
  }
  if ((await findImage(engine, reference)) === null)
    throw new MachineError('failed', `the container engine pulled ${reference} and does not have it`);
}

function refusal(reference: string, words: string, cause?: unknown): MachineError {
  if (missingWords.test(words))
    return new MachineError('no_image', `no registry has the image ${reference}: ${words.trim()}`, { cause });
  if (networkWords.test(words))
    return new MachineError('unavailable', `the registry of ${reference} can't be reached: ${words.trim()}`, { cause });
  return machineError(cause ?? new Error(words), `pull ${reference}`);
}
