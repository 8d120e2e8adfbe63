import { type Request, type RequestHandler, type Response, Router } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import type { Context } from '../../context.ts';

const unimplemented = 'Sandpit keeps the record of sandboxes and runs no machines: there are no commands and no files';

/** What E2B's clients ask of a sandbox itself, on the sandbox's own port. */
export function e2bEnvdRoutes(context: Context): Router {
  const router = Router();
  router.get('/health', health(context));
  router.use(['/process.Process', '/filesystem.Filesystem', '/files', '/execute'], requireRunning(context));
  router.post(['/process.Process/:method', '/filesystem.Filesystem/:method'], refuseCall);
  router.get('/files', refuse);
  router.post(['/files', '/execute'], refuse);
  return router;
}

/** Without the header it is Sandpit's own health that is asked for. */
function health(context: Context): RequestHandler {
  const requireIt = requireRunning(context);
  return (req, res, next) => {
    if (sandboxIdOf(req) === undefined) return next();
    return requireIt(req, res, () => void res.status(204).end());
  };
}

/** Answers as E2B's proxy does for a sandbox that does not run: its clients take 502 for that and nothing else. */
function requireRunning({ store, now }: Context): RequestHandler {
  return async (req, res, next) => {
    const id = sandboxIdOf(req);
    if (id === undefined || (await findAnyonesSandbox(store.db, now(), id))?.status === 'active') return next();
    res.status(502).json({ sandboxId: id, message: 'The sandbox was not found', code: 502 });
  };
}

const refuse: RequestHandler = (_req, res) => void res.status(501).json({ code: 501, message: unimplemented });

/** Says `unimplemented` as the Connect protocol does, for streams and for single calls (connectrpc.com, "Protocol reference"). */
const refuseCall: RequestHandler = (req, res) => {
  const error = { code: 'unimplemented', message: unimplemented };
  const contentType = /^application\/connect\+(?:json|proto)/.exec(contentTypeOf(req))?.[0];
  if (contentType) endStream(res, contentType, error);
  else res.status(501).json(error);
};

/** The last message of a stream: a flag, the length in four bytes, JSON. */
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

/** As it was sent: a content type that no operation takes is gone from `headers`. */
function contentTypeOf({ rawHeaders }: Request): string {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type');
  return rawHeaders[at + 1] ?? '';
}
