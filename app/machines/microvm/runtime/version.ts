import type { Feature } from '../../driver.ts';
import { MachineError } from '../../error.ts';

/** The first versions with what machines need, with pause, and with full snapshots and forks. */
const needed = [0, 7, 2];
const forks = [0, 7, 11];

/**
 * Reads what `msb --version` prints: which version it is, and what it can do. Throws MachineError
 * `unsupported` for one that is too old.
 */
export function featuresOf(text: string): { version: string; features: ReadonlySet<Feature> } {
  const numbers = /(\d+)\.(\d+)\.(\d+)/.exec(text);
  if (numbers === null)
    throw new MachineError('unsupported', `msb does not say its version but '${text.slice(0, 80)}'`);
  const version = numbers[0];
  const parts = numbers.slice(1).map(Number);
  if (isOlder(parts, needed))
    throw new MachineError('unsupported', `microsandbox ${version} is too old: ${needed.join('.')} or later is needed`);
  const features: Feature[] = ['pause', 'egress', 'domains'];
  return { version, features: new Set(isOlder(parts, forks) ? features : [...features, 'snapshot']) };
}

function isOlder(version: number[], other: number[]): boolean {
  for (const [index, part] of other.entries()) {
    const mine = version[index] ?? 0;
    if (mine !== part) return mine < part;
  }
  return false;
}
