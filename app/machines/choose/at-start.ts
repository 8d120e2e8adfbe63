import { readInUse } from '../../../db/machines/in-use.ts';
import { readInstance } from '../../../db/machines/instance.ts';
import type { Context } from '../../context.ts';
import { type Choice, choose } from './choose.ts';

/** Chooses what runs the machines of a database, within some seconds. See `choose`. */
export async function chooseMachines({
  config,
  store,
  now,
  log,
}: Pick<Context, 'config' | 'store' | 'now' | 'log'>): Promise<Choice> {
  const inUse = await readInUse(store.db, now());
  if (config.machines !== 'auto') return choose(config.machines, inUse, []);
  // Loaded here, because a server whose setting names the driver looks for nothing.
  const { candidates } = await import('./candidates.ts');
  const { id: instance } = await readInstance(store.db);
  return choose('auto', inUse, candidates(config, { instance, log }));
}
