import { Router } from 'express';
import type { Context } from '../../../context.ts';
import { egressRoutes } from './egress.ts';
import { executeRoutes } from './execute.ts';
import { filesRoutes } from './files.ts';
import { sharesRoutes } from './shares.ts';
import { stagedEnvRoutes } from './staged-env.ts';
import { machineTargets } from './target.ts';
import { terminalRoutes } from './terminals/terminals.ts';

/**
 * The routes of the tag `machine`: requests of InstaVM's client to the machine of a sandbox. With
 * records only they are refused.
 */
export function machineRoutes(context: Context): Router {
  // One for all routes, so that a session starts one machine.
  const targets = machineTargets(context);
  const router = Router();
  router.use(executeRoutes(context, targets), filesRoutes(context, targets), sharesRoutes(context, targets));
  router.use(terminalRoutes(targets), egressRoutes(context), stagedEnvRoutes(targets));
  return router;
}
