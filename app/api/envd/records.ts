import { type Request, type RequestHandler, type Response, Router } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import type { Context } from '../../context.ts';

/** Why nothing inside a sandbox can be reached. */
export const noMachines =
  'Sandpit keeps the record of sandboxes and runs no machines: there are no commands and no files';

/** The routes of the tag `e2b-envd` without machines: every call is refused with the reason. */
export function recordRoutes(context: Context): Router {
  const router = Router();
  router.get('/health', health(context));
  router.use(['/process.Process', '/filesystem.Filesystem', '/files', '/execute'], requireRunning(context));
  router.post(['/process.Process/:method', '/filesystem.Filesystem/:method'], refuseCall);
  router.get('/files', refuse);
  router.get('/metrics', requireRunning(context), (req, res, next) => {
    if (sandboxIdOf(req) === undefined) next();
    else refuse(req, res, next);
  });
  router.post(['/files', '/files/compose', '/execute'], refuse);
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

/**
 * Answers `unimplemented` as the Connect protocol does, for streams and for unary calls
 * (connectrpc.com, "Protocol reference").
 */
const refuseCall: RequestHandler = (req, res) => {
  const error = { code: 'unimplemented', message: noMachines };
  const contentType = /^application\/connect\+(?:json|proto)/.exec(contentTypeOf(req))?.[0];
  if (contentType) endStream(res, contentType, error);
  else refuseWith(res, 501, error);
};

/** Sends a stream's last message: a byte of flags, the length in four bytes, and JSON. */
function endStream(res: Response, contentType: string, error: object): void {
  const message = Buffer.from(JSON.stringify({ error }));
  const head = Buffer.alloc(5);
  head.writeUInt8(0b10);
  head.writeUInt32BE(message.length, 1);
  res.setHeader('Content-Type', contentType);
  res.end(Buffer.concat([head, message]));
}

function sandboxIdOf(req: Request): string | undefined {
  return req.get('e2b-sandbox-id');
}

/**
 * Returns the Content-Type as it was sent. `req.headers` no longer has it: the body reader removes
 * types that the contract does not know.
 */
function contentTypeOf({ rawHeaders }: Request): string {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type');
  return rawHeaders[at + 1] ?? '';
}
