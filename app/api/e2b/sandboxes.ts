import { type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import type { JsonObject } from '../../../db/json/json.ts';
import { endSandbox, extendSandbox, updateSandbox } from '../../../db/sandboxes/change.ts';
import { recordPause } from '../../../db/sandboxes/pause-mode.ts';
import { getLiveSandbox } from '../../../db/sandboxes/read.ts';
import { timeoutActionOf } from '../../../db/sandboxes/runs.ts';
import { inTransaction } from '../../../db/store.ts';
import { maxLifetimeSeconds, minRefreshSeconds } from '../../../spec/limits.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { startSandbox } from '../../machines/launch/start.ts';
import { connectRun, pauseRun, resumeRun } from '../../machines/lifecycle/runs.ts';
import { keptNetwork } from '../../network.ts';
import { requireDestinations, updateNetwork } from './network.ts';
import { e2bObserveRoutes } from './observe.ts';
import { namespaceOf, parseReference } from './references.ts';
import { sandboxIdOf, unknownSandbox } from './request.ts';
import { listPaged, listRunning } from './sandbox-lists.ts';
import { type Settings, sandboxDetail, startedSandbox } from './shapes.ts';

type Schemas = components['schemas'];

const noGateway = 'mcp is not offered: Sandpit runs no machines, in which a client could start a gateway; leave it out';

/** The routes of the tag `e2b-sandboxes`. */
export function e2bSandboxesRoutes(context: Context): Router {
  const router = Router();
  router.post(['/sandboxes', '/v2/sandboxes'], create(context));
  router.get('/sandboxes', listRunning(context));
  router.get('/v2/sandboxes', listPaged(context));
  router.use(e2bObserveRoutes(context));
  router.get('/sandboxes/:sandboxID', read(context));
  router.delete('/sandboxes/:sandboxID', kill(context));
  router.post(['/sandboxes/:sandboxID/connect', '/v2/sandboxes/:sandboxID/connect'], connect(context));
  router.post('/sandboxes/:sandboxID/timeout', setTimeout(context));
  router.post('/sandboxes/:sandboxID/refreshes', refresh(context));
  router.post('/sandboxes/:sandboxID/pause', pause(context));
  router.post('/sandboxes/:sandboxID/resume', resume(context));
  router.put('/sandboxes/:sandboxID/network', updateNetwork(context));
  router.use(['/sandboxes/:sandboxID', '/v2/sandboxes/:sandboxID'], unknownSandbox);
  return router;
}

function create(context: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const body: Schemas['NewSandbox'] = req.body;
    if (body.mcp && !context.machines) throw new HttpError(501, noGateway);
    requireDestinations(body.network ?? {}, body.allow_internet_access !== false);
    const settings: Settings = {
      autoResume: body.autoResume?.enabled,
      allowInternetAccess: body.allow_internet_access,
      network: body.network && keptNetwork(body.network),
      autoPauseMemory: body.autoPauseMemory === false ? false : undefined,
      firstTimeout: body.autoResume?.enabled ? body.timeout : undefined,
    };
    const isSet = Object.values(settings).some((value) => value !== undefined);
    const wanted = {
      templateId: parseReference(body.templateID, namespaceOf(user.name)),
      metadata: body.metadata ?? {},
      env: body.envVars ?? null,
      lifetimeSeconds: body.timeout as number,
      onTimeout: timeoutActionOf(body.autoPause),
      settings: isSet ? (settings as JsonObject) : null,
    };
    const sandbox = await startSandbox(context, req, wanted);
    req.sandboxId = sandbox.id;
    res.status(201).json(startedSandbox(context, req, sandbox));
  };
}

function read(context: Context): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const sandbox = await getLiveSandbox(store.db, now(), principalOf(req).user.id, sandboxIdOf(req));
    res.json(sandboxDetail(context, req, sandbox));
  };
}

function kill({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { hasEnded } = await inTransaction(store.db, (trx) => endSandbox(trx, now(), actorOf(req), sandboxIdOf(req)));
    if (!hasEnded) throw new StoreError('ended', 'Sandbox has ended');
    res.status(204).end();
  };
}

function connect(context: Context): RequestHandler {
  return async (req, res) => {
    const { timeout, memory }: Schemas['ConnectSandbox'] = req.body;
    const how = { lifetimeSeconds: timeout, memory };
    const { sandbox, hasResumed } = await connectRun(context, actorOf(req), sandboxIdOf(req), how);
    res.status(hasResumed ? 201 : 200).json(startedSandbox(context, req, sandbox));
  };
}

function setTimeout({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { timeout }: Schemas['SandboxTimeoutRequest'] = req.body;
    const lifetimeSeconds = Math.min(timeout, maxLifetimeSeconds);
    await inTransaction(store.db, (trx) =>
      updateSandbox(trx, now(), actorOf(req), sandboxIdOf(req), { lifetimeSeconds }),
    );
    res.status(204).end();
  };
}

function refresh({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { duration }: Required<NonNullable<Schemas['SandboxRefreshRequest']>> = req.body;
    const lifetimeSeconds = Math.max(duration, minRefreshSeconds);
    await inTransaction(store.db, (trx) => extendSandbox(trx, now(), actorOf(req), sandboxIdOf(req), lifetimeSeconds));
    res.status(204).end();
  };
}

function pause(context: Context): RequestHandler {
  return async (req, res) => {
    const { memory }: Required<NonNullable<Schemas['SandboxPauseRequest']>> = req.body;
    await pauseRun(context, actorOf(req), sandboxIdOf(req), recordPause(memory));
    res.status(204).end();
  };
}

function resume(context: Context): RequestHandler {
  return async (req, res) => {
    const { timeout, autoPause, memory }: NonNullable<Schemas['ResumedSandbox']> = req.body;
    const how = { lifetimeSeconds: timeout as number, onTimeout: timeoutActionOf(autoPause), memory };
    const sandbox = await resumeRun(context, actorOf(req), sandboxIdOf(req), how);
    res.status(201).json(startedSandbox(context, req, sandbox));
  };
}
