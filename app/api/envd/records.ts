import { type Request, type RequestHandler, type Response, Router } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import type { Context } from '../../context.ts';
import { ConnectError } from '../../http/connect.ts';
import { codePrefix } from './code/port.ts';

/** Why nothing inside a sandbox can be reached. */
export const noMachines =
  'Sandpit keeps the record of sandboxes and runs no machines: there are no commands and no files';

/** The routes of the tag `e2b-envd` without machines: every call is refused with the reason. */
export function recordRoutes(context: Context): Router {
  const router = Router();
  router.get('/health', health(context));
  router.use(['/process.Process', '/filesystem.Filesystem', '/files', codePrefix], requireRunning(context));
  router.post(['/process.Process/:method', '/filesystem.Filesystem/:method'], refuseCall);
  router.get('/files', refuse);
  router.get('/metrics', requireRunning(context), (req, res, next) => {
    if (sandboxIdOf(req) === undefined) next();
    else refuse(req, res, next);
  });
  router.post(['/files', '/files/compose'], refuse);
  router.use(codePrefix, refuse);
  return router;
}

/** Answers for a sandbox's health. Without the header, the next route answers for Sandpit's. */
function health(context: Context): RequestHandler {
  const requireIt = requireRunning(context);
  return (req, res, next) => {
    if (sandboxIdOf(req) === undefined) return next();
    return requireIt(req, res, () => void res.status(204).end());
  };
}

/**
 * Answers 502 for a sandbox that does not run, as E2B's proxy does: its clients recognize such a
 * sandbox by that status only. A request without the header passes.
 */
function requireRunning({ store, now }: Context): RequestHandler {
  return async (req, res, next) => {
    const id = sandboxIdOf(req);
    if (id === undefined || (await findAnyonesSandbox(store.db, now(), id))?.status === 'active') return next();
    refuseWith(res, 502, { sandboxId: id, message: 'The sandbox was not found', code: 502 });
  };
}

const refuse: RequestHandler = (_req, res) => refuseWith(res, 501, { code: 501, message: noMachines });

function refuseWith(res: Response, status: number, body: object): void {
  res.status(status).set('Should-Retry', 'false').json(body);
}

const refuseCall: RequestHandler = () => {
  throw new ConnectError('unimplemented', noMachines);
};

function sandboxIdOf(req: Request): string | undefined {
  return req.get('e2b-sandbox-id');
}
