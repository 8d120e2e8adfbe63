import { type Request, type RequestHandler, Router } from 'express';
import { createSandbox } from '../../db/create.ts';
import type { JsonObject } from '../../db/json.ts';
import { endSandbox, updateSandbox } from '../../db/lifecycle.ts';
import { getSandbox } from '../../db/sandboxes.ts';
import type { components } from '../../spec/types.gen.ts';
import { principalOf } from '../auth.ts';
import type { Context } from '../server.ts';
import { sendJson, vm } from '../wire.ts';

type CreateVM = components['schemas']['CreateVM'];
type UpdateVM = components['schemas']['UpdateVM'];

/** What the contract gives as the default; it can't apply it where there is no body or a null. */
const defaultLifetimeSeconds = 300;

export function vmsRoutes(context: Context): Router {
  const router = Router();
  router.post('/v1/vms', create(context));
  router.get('/v1/vms/:vm_id', read(context));
  router.patch('/v1/vms/:vm_id', update(context));
  router.delete('/v1/vms/:vm_id', end(context));
  return router;
}

function create({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const body: Partial<CreateVM> = req.body;
    const sandbox = await createSandbox(store.db, now, {
      ownerId: principalOf(req).user.id,
      templateId: body.snapshot_id ?? null,
      metadata: (body.metadata as JsonObject | null | undefined) ?? {},
      env: body.env ?? null,
      memoryMb: body.memory_mb,
      vcpuCount: body.vcpu_count,
      lifetimeSeconds: body.vm_lifetime_seconds ?? defaultLifetimeSeconds,
    });
    res.status(201).location(`/v1/vms/${sandbox.id}`);
    sendJson(res, config, vm(sandbox));
  };
}

function read({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const sandbox = await getSandbox(store.db, now(), principalOf(req).user.id, vmId(req));
    sendJson(res, config, vm(sandbox));
  };
}

function update({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { metadata, vm_lifetime_seconds: lifetime }: UpdateVM = req.body;
    const change = {
      metadata: metadata as JsonObject | undefined,
      lifetimeSeconds: lifetime,
    };
    const sandbox = await updateSandbox(store.db, now, principalOf(req).user.id, vmId(req), change);
    sendJson(res, config, vm(sandbox));
  };
}

function end({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { sandbox } = await endSandbox(store.db, now, principalOf(req).user.id, vmId(req));
    sendJson(res, config, vm(sandbox));
  };
}

function vmId(req: Request): string {
  return req.params.vm_id as string;
}
