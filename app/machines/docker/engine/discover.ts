import type { EngineEnvironment } from '../../../config/engine-environment.ts';
import { MachineError } from '../../error.ts';
import { engineAddresses } from './address.ts';
import { Engine } from './engine.ts';

/** An address at which no engine answered, and why, in words. */
export type Attempt = { address: string; problem: string };

/**
 * Returns the first engine that answers. Rejects with MachineError `unavailable` or `unsupported`,
 * whose message lists what was tried.
 */
export async function findEngine(
  setting: string | undefined,
  env: EngineEnvironment,
  milliseconds: number,
): Promise<Engine> {
  const found = await discover(setting, env, milliseconds);
  if (found.engine !== null) return found.engine;
  const tried = found.attempts.map(({ address, problem }) => `${address} (${problem})`).join(', ');
  throw new MachineError('unavailable', `no container engine answers: tried ${tried}`);
}

/**
 * Tries the addresses in turn until an engine answers. Returns it, or null, and the failed
 * attempts.
 */
export async function discover(
  setting: string | undefined,
  env: EngineEnvironment,
  milliseconds: number,
): Promise<{ engine: Engine | null; attempts: Attempt[] }> {
  const attempts: Attempt[] = [];
  for (const address of engineAddresses(setting, env)) {
    try {
      return { engine: await Engine.open(address, env, milliseconds), attempts };
    } catch (error) {
      attempts.push({ address, problem: (error as Error).message });
    }
  }
  return { engine: null, attempts };
}
