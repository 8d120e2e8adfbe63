import { hash } from 'node:crypto';
import type { BuildStep } from '../../../db/builds/spec.ts';
import type { Base } from './base.ts';

/** Changes when the same steps would make something else: then nothing older is used again. */
const version = 1;

/**
 * Returns the keys of a build's layers: the first of its base, then one for each step. A key
 * depends on all that the state of the machine depends on so far.
 */
export function layerKeys(base: Base, steps: BuildStep[]): string[] {
  const { image, contentId, isSnapshot, allowsSudo, runtime, setup, memorySize } = base;
  const keys = [digest([version, isSnapshot ? image : contentId, allowsSudo, runtime, setup, memorySize])];
  for (const { type, args, filesHash } of steps) keys.push(digest([keys.at(-1), type, args, filesHash]));
  return keys;
}

function digest(parts: unknown[]): string {
  return hash('sha256', JSON.stringify(parts), 'hex');
}
