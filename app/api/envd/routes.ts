import { type ErrorRequestHandler, type RequestHandler, Router } from 'express';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { ConnectError } from '../../http/connect.ts';
import { Streams } from '../../http/streams/streams.ts';
import { NotRunning } from '../../machines/running.ts';
import { codeRoutes } from './code/routes.ts';
import { filesRoutes } from './files/routes.ts';
import { filesystemRoutes } from './filesystem.ts';
import { metrics } from './metrics.ts';
import { processRoutes } from './processes.ts';
import { recordRoutes } from './records.ts';
import { findRunningSandbox, isToken, machinesOf } from './target.ts';

/**
 * The routes of the tag `e2b-envd`: requests of E2B's clients to a sandbox itself, which they send
 * to a port of the sandbox. The header `E2b-Sandbox-Id` names the sandbox.
 */
export function envdRoutes(context: Context): Router {
  if (!context.machines) return recordRoutes(context);
  const streams = new Streams();
  const router = Router();
  router.get('/health', health(context));
  router.get('/metrics', metrics(context));
  router.use(filesRoutes(context, streams));
  router.use(processRoutes(context, streams), filesystemRoutes(context, streams));
  router.post(['/process.Process/:method', '/filesystem.Filesystem/:method'], refuseUnknown);
  router.use(codeRoutes(context, streams));
  router.use(answerNotRunning);
  return router;
}

/**
 * Answers for a sandbox's health. One that can't be resumed is not running. Without the header, the
 * next route answers for Sandpit's.
 */
function health(context: Context): RequestHandler {
  const findRunning = findRunningSandbox(context);
  const { tokenOf } = machinesOf(context);
  return async (req, res, next) => {
    const sandboxId = req.get('e2b-sandbox-id');
    if (sandboxId === undefined) return next();
    await findRunning(req, (id) => isToken(req, tokenOf(id))).catch((error) => {
      throw error instanceof HttpError ? new NotRunning(sandboxId) : error;
    });
    res.status(204).end();
  };
}

const refuseUnknown: RequestHandler = ({ path }) => {
  throw new ConnectError('unimplemented', `There is no procedure ${path}`);
};

/** Answers as E2B's proxy does. */
const answerNotRunning: ErrorRequestHandler = (error, _req, res, next) => {
  if (!(error instanceof NotRunning) || res.headersSent) return next(error);
  const { sandboxId, message, status: code } = error;
  res.status(code).set('Should-Retry', 'false').json({ sandboxId, message, code });
};
