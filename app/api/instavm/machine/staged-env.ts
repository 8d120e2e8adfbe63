import { type RequestHandler, Router } from 'express';
import { LRUCache } from 'lru-cache';
import type { components } from '../../../../spec/types.gen.ts';
import { HttpError } from '../../../errors.ts';
import type { MachineTarget, MachineTargets } from './target.ts';

type Env = Record<string, string>;

/** How many variables a sandbox may have staged, and how many characters they have in all. */
const [maxVariables, maxCharacters] = [256, 2 ** 18];

/**
 * The variables that were staged for sandboxes, by the sandbox's id. They are secrets, so they are
 * kept in memory only; those that were not used for the longest time give way.
 */
const staged = new LRUCache<string, Env>({ max: 10_000 });

/** Returns the variables that code, commands and terminals of a sandbox get beside its own. */
export function stagedFor({ id }: MachineTarget): Env {
  return staged.get(id) ?? {};
}

/** The route that stages variables. */
export function stagedEnvRoutes(targets: MachineTargets): Router {
  const router = Router();
  router.post('/v1/vms/:vm_id/stage-env', stage(targets));
  return router;
}

function stage(targets: MachineTargets): RequestHandler {
  return async (req, res) => {
    const { entries }: components['schemas']['StagedEnv'] = req.body;
    const target = await targets.ofVm(req, req.params.vm_id as string);
    const given = Object.fromEntries(entries.map(({ env_name: name, value }) => [name, value]));
    const all = { ...stagedFor(target), ...given };
    const length = Object.entries(all).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    if (Object.keys(all).length > maxVariables || length > maxCharacters) {
      throw new HttpError(403, `A sandbox takes ${maxVariables} variables with ${maxCharacters} characters in all`);
    }
    staged.set(target.id, all);
    res.json({ status: 'ok', staged: Object.keys(given) });
  };
}
