import { type ErrorRequestHandler, type Request, type RequestHandler, type Response, Router } from 'express';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import type { Streams } from '../../../http/streams/streams.ts';
import { AgentError, type AgentErrorCode } from '../../../machines/agent/error.ts';
import { machineFailure } from '../../../machines/running.ts';
import { findTarget, type Target } from '../target.ts';
import { composeFiles, composeReader } from './compose.ts';
import { sendFile } from './download.ts';
import { findFileTarget } from './signature.ts';
import { receiveFiles } from './upload.ts';

type Work = (target: Target, req: Request, res: Response, signal: AbortSignal) => Promise<void>;

/** The routes for files: what the Connect services don't do. */
export function filesRoutes(context: Context, streams: Streams): Router {
  const { requestSeconds } = context.config;
  const router = Router();
  const forFile = findFileTarget(context);
  const forAll = findTarget(context);
  const readCompose = composeReader(context);
  const route = (find: (req: Request) => Promise<Target>, work: Work) => streamed(streams, find, work);
  router.get(
    '/files',
    route((req) => forFile(req, 'read'), sendFile),
  );
  router.post(
    '/files',
    route(
      (req) => forFile(req, 'write'),
      async (target, req, res, signal) => void res.json(await receiveFiles(target, req, requestSeconds, signal)),
    ),
  );
  router.post(
    '/files/compose',
    route(forAll, async (target, req, res, signal) => {
      const wanted = await readCompose(req);
      // Nothing is sent until all files are copied.
      req.socket.setTimeout(0);
      res.json(await composeFiles(await target.agent(), wanted, signal));
    }),
  );
  router.use(closeUnread);
  return router;
}

/**
 * Returns a handler that checks the credential, takes a stream, and works until the client is gone.
 * Throws HttpError, also for what the machine refuses.
 */
function streamed(streams: Streams, find: (req: Request) => Promise<Target>, work: Work): RequestHandler {
  return async (req, res) => {
    const target = await find(req);
    const gone = streams.take(res, target.id);
    try {
      await work(target, req, res, gone);
    } catch (error) {
      // There is nobody to answer; the rest of a response that was begun is missing.
      if (!res.destroyed) throw asHttpError(target.id, error, req.method);
    }
  };
}

const statusOf: Record<AgentErrorCode, number> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 400,
  unauthenticated: 401,
  // Usually the disk is full.
  resource_exhausted: 507,
  failed_precondition: 400,
  internal: 500,
  unimplemented: 501,
  permission_denied: 403,
};

function asHttpError(id: string, error: unknown, method: string): unknown {
  if (!(error instanceof AgentError)) return machineFailure(id, error);
  const isBusy = error.code === 'resource_exhausted' && method === 'GET';
  return isBusy
    ? new HttpError(503, error.message, { 'Retry-After': '1' })
    : new HttpError(statusOf[error.code], error.message);
}

/** Closes the connection after an error, if a part of the body is still to come. */
const closeUnread: ErrorRequestHandler = (error, req, res, next) => {
  if (!req.complete && !res.headersSent) res.set('Connection', 'close');
  // They describe a file that is not sent.
  for (const name of ['Content-Type', 'Content-Disposition', 'Content-Range', 'Last-Modified']) res.removeHeader(name);
  next(error);
};
