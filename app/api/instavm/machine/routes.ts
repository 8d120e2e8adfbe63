import { Router } from 'express';
import type { Context } from '../../../context.ts';

/**
 * The routes of the tag `machine`: requests of InstaVM's client to the machine of a sandbox. With
 * records only they are refused.
 */
export function machineRoutes(_context: Context): Router {
  return Router();
}
