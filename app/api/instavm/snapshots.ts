import { type Request, type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { defaultSize } from '../../../db/sandboxes/insert.ts';
import type { SnapshotType } from '../../../db/schema.ts';
import { listSnapshots, wholeSnapshots } from '../../../db/snapshots/list.ts';
import { createSnapshot, findSnapshot } from '../../../db/snapshots/snapshots.ts';
import { inTransaction } from '../../../db/store.ts';
import { Turns } from '../../../db/turns.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { sendJson } from '../../http/json.ts';
import { sendArray } from '../../http/json-array.ts';
import { dropSnapshot } from '../../machines/snapshots/requests.ts';
import { snapshot } from './shapes.ts';

/** The routes of the tag `snapshots`. */
export function snapshotsRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/snapshots', list(context));
  router.post('/v1/snapshots', create(context));
  router.get('/v1/snapshots/:snapshot_id', read(context));
  router.delete('/v1/snapshots/:snapshot_id', remove(context));
  return router;
}

function list({ store, config, machines }: Context): RequestHandler {
  return async (req, res) => {
    const { limit, type } = req.query as { limit: string; type?: SnapshotType };
    const found = await listSnapshots(store.db, principalOf(req).user.id, { type, limit: Number(limit) });
    await sendArray(
      res,
      config,
      wholeSnapshots(store.db, found),
      (each) => snapshot(each, machines?.images),
      new Turns(),
    );
  };
}

function create({ store, now, config, machines }: Context): RequestHandler {
  return async (req, res) => {
    const body: components['schemas']['CreateSnapshot'] = req.body;
    // Before it is recorded, so that an image that may not be used leaves nothing.
    await machines?.images.prepare(body.oci_image);
    const made = await inTransaction(store.db, (trx) =>
      createSnapshot(trx, now(), actorOf(req), {
        name: body.name ?? null,
        type: body.type ?? 'user',
        ociImage: body.oci_image,
        memoryMb: body.memory_mb ?? defaultSize.memoryMb,
        vcpuCount: body.vcpu_count ?? defaultSize.vcpuCount,
      }),
    );
    res.status(201);
    sendJson(res, config, snapshot(made, machines?.images));
  };
}

function read({ store, config, machines }: Context): RequestHandler {
  return async (req, res) => {
    const found = await findSnapshot(store.db, principalOf(req).user.id, snapshotId(req));
    if (!found) throw new StoreError('not_found', 'Snapshot not found');
    sendJson(res, config, snapshot(found, machines?.images));
  };
}

function remove(context: Context): RequestHandler {
  return async (req, res) => {
    sendJson(res, context.config, snapshot(await dropSnapshot(context, req, snapshotId(req))));
  };
}

function snapshotId(req: Request): string {
  return req.params.snapshot_id as string;
}
