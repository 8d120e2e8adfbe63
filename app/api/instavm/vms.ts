import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { JsonObject } from '../../../db/json/json.ts';
import { endSandbox, updateSandbox } from '../../../db/sandboxes/change.ts';
import { createSandbox } from '../../../db/sandboxes/create.ts';
import { type Cursor, everything, listPage, type SandboxQuery } from '../../../db/sandboxes/lists/pages.ts';
import { wholeSandboxes } from '../../../db/sandboxes/lists/texts.ts';
import { getSandbox, type Sandbox } from '../../../db/sandboxes/read.ts';
import { timeoutActionOf } from '../../../db/sandboxes/runs.ts';
import { createInSession } from '../../../db/sessions/sessions.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { Turns } from '../../../db/turns.ts';
import { defaultLifetimeSeconds } from '../../../spec/limits.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { sendJson } from '../../http/json.ts';
import { sendArray } from '../../http/json-array.ts';
import { startSandbox } from '../../machines/launch/start.ts';
import { pauseRun, resumeRun } from '../../machines/lifecycle/runs.ts';
import { startForks, takeSnapshot } from '../../machines/snapshots/requests.ts';
import { policyOf, refusePolicy } from './egress-policy.ts';
import { shownToUsers } from './errors.ts';
import { readFilter } from './filter.ts';
import { lastSnapshotChange } from './last-snapshot.ts';
import { sandboxRequest, snapshot, vm } from './shapes.ts';

type Schemas = components['schemas'];

type ListQuery = { metadata?: string; statuses?: SandboxQuery['statuses']; template_id?: string };

/** The routes of the tag `vms`. */
export function vmsRoutes(context: Context): Router {
  // Strict, because `/v1/vms` and `/v1/vms/` differ.
  const router = Router({ strict: true });
  router.get('/v1/vms', listActive(context));
  router.get('/v1/vms/', list(context));
  router.post('/v1/vms', create(context));
  router.get('/v1/vms/:vm_id', read(context));
  router.patch('/v1/vms/:vm_id', update(context));
  router.delete('/v1/vms/:vm_id', end(context));
  router.post('/v1/vms/:vm_id/suspend', suspend(context));
  router.post('/v1/vms/:vm_id/resume', resume(context));
  router.post('/v1/vms/:vm_id/clone', clone(context));
  router.post('/v1/vms/:vm_id/snapshot', snapshotVm(context));
  return router;
}

function listActive(context: Context): RequestHandler {
  return async (req, res) => {
    const { all = 'false' } = req.query;
    const isAll = all === '' || all === 'true' || all === '1';
    await sendPage(context, req, res, isAll ? everything.statuses : ['active']);
  };
}

function list(context: Context): RequestHandler {
  return (req, res) => {
    const { metadata, statuses, template_id: templateId } = req.query as unknown as ListQuery;
    const found = { filter: readFilter(metadata), templateId: templateId?.toLowerCase() ?? null };
    return sendPage(context, req, res, statuses ?? everything.statuses, found);
  };
}

async function sendPage(
  { store, now, config }: Context,
  req: Request,
  res: Response,
  statuses: SandboxQuery['statuses'],
  filters: Partial<Pick<SandboxQuery, 'filter' | 'templateId'>> = {},
): Promise<void> {
  const { limit, cursor } = req.query;
  const after = cursorOf(cursor as string | undefined);
  const wanted = { ...everything, ...filters, statuses, limit: Number(limit), after };
  const turns = new Turns();
  const { sandboxes, hasMore } = await listPage(store.db, now(), principalOf(req).user.id, wanted, turns);
  const last = sandboxes.at(-1);
  if (hasMore && last) res.set('X-Next-Cursor', `${last.startedAt}_${last.id}`);
  await sendArray(res, config, wholeSandboxes(store.db, sandboxes), vm, turns);
}

/** Returns the last sandbox of the page before, which the contract has checked. */
function cursorOf(cursor: string | undefined): Cursor | null {
  if (cursor === undefined) return null;
  const [startedAt = '', id = ''] = cursor.split('_');
  return { startedAt: Number(startedAt), id };
}

function create(context: Context): RequestHandler {
  return async (req, res) => {
    const { session_id: sessionId, ...body }: NonNullable<Schemas['CreateVM']> = req.body;
    const onTimeout = timeoutActionOf(body.auto_suspend);
    const settings = settingsOf(context, body);
    const wanted = { ...sandboxRequest(body), onTimeout, settings, templateId: body.snapshot_id ?? null };
    const sandbox = await startSandbox(context, req, wanted, (trx, now, by, request) =>
      sessionId ? createInSession(trx, now, by, sessionId, request) : createSandbox(trx, now, by, request),
    ).catch((error) => {
      throw shownToUsers(error);
    });
    sendCreated(context, res, sandbox);
  };
}

/** Returns the settings of a sandbox that a request asks for; null: none. */
function settingsOf({ machines }: Context, body: NonNullable<Schemas['CreateVM']>): JsonObject | null {
  const { auto_resume: autoResume, egress_policy: given } = body;
  const last = lastSnapshotChange(body, machines)?.({});
  const policy = given ? policyOf(given) : null;
  if (policy && machines) refusePolicy(machines.driver, policy);
  if (policy && !machines) throw new HttpError(501, noPolicies);
  const settings = { ...(autoResume && { autoResume }), ...(policy && { egressPolicy: policy }), ...last };
  return Object.keys(settings).length === 0 ? null : settings;
}

const noPolicies = 'egress_policy is not offered: Sandpit runs no machines here, so no traffic; leave it out';

function sendCreated({ config }: Context, res: Response, sandbox: Sandbox): void {
  res.req.sandboxId = sandbox.id;
  res.status(201).location(`/v1/vms/${sandbox.id}`);
  sendJson(res, config, vm(sandbox));
}

function read({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const sandbox = await getSandbox(store.db, now(), principalOf(req).user.id, vmId(req));
    sendJson(res, config, vm(sandbox));
  };
}

function update({ store, now, config, machines }: Context): RequestHandler {
  return async (req, res) => {
    const body: Schemas['UpdateVM'] = req.body;
    const changeLast = lastSnapshotChange(body, machines);
    const changeSettings = (old: JsonObject): JsonObject => {
      const settings = changeLast?.(old) ?? old;
      return body.auto_resume == null ? settings : { ...settings, autoResume: body.auto_resume };
    };
    const change = {
      metadata: body.metadata as JsonObject | undefined,
      lifetimeSeconds: body.vm_lifetime_seconds,
      memoryMb: body.memory_mb,
      onTimeout: timeoutActionOf(body.auto_suspend),
      settings: changeLast || body.auto_resume != null ? changeSettings : undefined,
    };
    const record = (trx: Trx) => updateSandbox(trx, now(), actorOf(req), vmId(req), change);
    const sandbox =
      machines && change.memoryMb !== undefined
        ? await machines.resize(vmId(req), change.memoryMb, record)
        : await inTransaction(store.db, record);
    sendJson(res, config, vm(sandbox));
  };
}

function end({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { sandbox } = await inTransaction(store.db, (trx) => endSandbox(trx, now(), actorOf(req), vmId(req)));
    sendJson(res, config, vm(sandbox));
  };
}

function suspend(context: Context): RequestHandler {
  return async (req, res) => {
    sendJson(res, context.config, vm(await pauseRun(context, actorOf(req), vmId(req))));
  };
}

function resume(context: Context): RequestHandler {
  return async (req, res) => {
    const { vm_lifetime_seconds: lifetime }: NonNullable<Schemas['Lifetime']> = req.body;
    const how = { lifetimeSeconds: lifetime ?? defaultLifetimeSeconds };
    sendJson(res, context.config, vm(await resumeRun(context, actorOf(req), vmId(req), how)));
  };
}

function clone(context: Context): RequestHandler {
  return async (req, res) => {
    const { vm_lifetime_seconds: lifetime }: NonNullable<Schemas['CloneVM']> = req.body;
    const wanted = { count: 1, lifetimeSeconds: lifetime ?? defaultLifetimeSeconds };
    const [sandbox] = (await startForks(context, req, vmId(req), wanted)).sandboxes;
    sendCreated(context, res, sandbox as Sandbox);
  };
}

function snapshotVm(context: Context): RequestHandler {
  return async (req, res) => {
    const { name = null }: NonNullable<Schemas['SnapshotRequest']> = req.body;
    const wanted = { name, replace: false };
    const taken = await takeSnapshot(context, req, vmId(req), wanted);
    res.status(201);
    sendJson(res, context.config, snapshot(taken));
  };
}

function vmId(req: Request): string {
  return req.params.vm_id as string;
}
