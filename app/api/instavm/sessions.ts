import { type Request, type RequestHandler, Router } from 'express';
import { findByApiKey } from '../../../db/accounts/principals.ts';
import { endSandbox } from '../../../db/sandboxes/change.ts';
import { listSandboxes } from '../../../db/sandboxes/lists/list.ts';
import { areWhole, wholeSandboxes } from '../../../db/sandboxes/lists/texts.ts';
import { sessionOf } from '../../../db/sessions/session-id.ts';
import { createSession, findSession, getSession } from '../../../db/sessions/sessions.ts';
import { inTransaction } from '../../../db/store.ts';
import { Turns } from '../../../db/turns.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, admit, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { isValidatorError } from '../../contract/problems/validator-error.ts';
import type { Refine } from '../../error-handler.ts';
import { HttpError } from '../../errors.ts';
import { sendJson } from '../../http/json.ts';
import { jsonArray, sendArray } from '../../http/json-array.ts';
import { startSandbox } from '../../machines/launch/start.ts';
import { readFilter } from './filter.ts';
import { sandboxInfo, sandboxRequest, session, sessionStatus, sessionUsage } from './shapes.ts';

/** The routes of the tag `sessions`. */
export function sessionsRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/sessions/sandboxes', list(context));
  router.post('/v1/sessions/session', create(context));
  router.get('/v1/sessions/session/:session_id', read(context));
  router.get('/v1/sessions/status/:session_id', status(context));
  router.get('/v1/sessions/usage/:session_id', usage(context));
  router.post('/kill', kill(context));
  return router;
}

function list({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const filter = readFilter(req.query.metadata as string | null | undefined);
    const limit = Number(req.query.limit);
    const turns = new Turns();
    const found = await listSandboxes(store.db, now(), user.id, { filter, limit }, turns);
    if (areWhole(found)) sendJson(res, config, jsonArray(found, sandboxInfo));
    else await sendArray(res, config, wholeSandboxes(store.db, found), sandboxInfo, turns);
  };
}

function create(context: Context): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const { api_key: key, ...body }: components['schemas']['CreateSession'] = req.body;
    const principal = await findByApiKey(store.db, now(), key);
    if (!principal) throw new HttpError(401, 'Could not validate credentials', { 'WWW-Authenticate': 'Bearer' });
    admit(req, principal, context);
    const wanted = { ...sandboxRequest(body), templateId: null };
    const sandbox = await startSandbox(context, req, wanted, createSession);
    req.sandboxId = sandbox.id;
    res.json({ session_id: sessionOf(sandbox) });
  };
}

function read({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const found = await getSession(store.db, now(), principalOf(req).user.id, sessionIdIn(req));
    req.sandboxId = found.sandbox.id;
    sendJson(res, config, session(found));
  };
}

function status({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const time = now();
    const found = await findSession(store.db, time, principalOf(req).user.id, sessionIdIn(req));
    if (found) req.sandboxId = found.sandbox.id;
    res.json(sessionStatus(sessionIdIn(req), found, time));
  };
}

function usage({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const time = now();
    const found = await getSession(store.db, time, null, sessionIdIn(req));
    req.sandboxId = found.sandbox.id;
    res.json(sessionUsage(found, time));
  };
}

function kill({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { session_id: sessionId }: components['schemas']['Kill'] = req.body;
    const [by, time] = [actorOf(req), now()];
    const { sandbox, hasEnded } = await inTransaction(store.db, async (trx) => {
      const found = await getSession(trx, time, by.ownerId, sessionId);
      return endSandbox(trx, time, by, found.sandbox.id);
    });
    req.sandboxId = sandbox.id;
    if (!hasEnded) throw new HttpError(404, "The session's sandbox has ended");
    res.json({ message: 'Sandbox killed', vm_id: sandbox.id });
  };
}

/** Turns the 422 for a session id that is not a UUID into the 400 that InstaVM documents. */
export const explainSessionId: Refine = (error, req) => {
  if (req.path !== '/kill' || !isValidatorError(error)) return error;
  const isBadId = error.errors.some(
    ({ path, errorCode }) => path === '/body/session_id' && errorCode?.startsWith('format'),
  );
  return isBadId ? new HttpError(400, 'Invalid session id') : error;
};

function sessionIdIn(req: Request): string {
  return req.params.session_id as string;
}
