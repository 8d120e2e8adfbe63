import { type Request, type RequestHandler, Router } from 'express';
import {
  findPlanned,
  listPlanned,
  type Planned,
  plannedOf,
  planSnapshot,
  type SnapshotOrder,
} from '../../../db/builds/planned.ts';
import { StoreError } from '../../../db/errors.ts';
import type { Actor } from '../../../db/events/record.ts';
import { defaultSize } from '../../../db/sandboxes/insert.ts';
import type { SnapshotType } from '../../../db/schema.ts';
import { type ListedSnapshot, listSnapshots, wholeSnapshots } from '../../../db/snapshots/list.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { createSnapshot, findSnapshot } from '../../../db/snapshots/snapshots.ts';
import { inTransaction } from '../../../db/store.ts';
import { Turns } from '../../../db/turns.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context, Machines } from '../../context.ts';
import { sendJson } from '../../http/json.ts';
import { sendArray } from '../../http/json-array.ts';
import { dropSnapshot } from '../../machines/snapshots/requests.ts';
import { snapshot } from './shapes.ts';
import { snapshotSpecOf } from './snapshot-build.ts';

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
    const { id } = principalOf(req).user;
    const taken = await listSnapshots(store.db, id, { type, limit: Number(limit) });
    const found: (ListedSnapshot & Partial<Pick<Planned, 'state'>>)[] = [
      ...taken,
      ...(await listPlanned(store.db, id, type)),
    ];
    const page = found.sort(newestFirst).slice(0, Number(limit));
    await sendArray(
      res,
      config,
      wholeSnapshots(store.db, page),
      (each) => snapshot(each, machines?.images),
      new Turns(),
    );
  };
}

function newestFirst(one: ListedSnapshot, other: ListedSnapshot): number {
  return other.createdAt - one.createdAt || (one.id < other.id ? -1 : 1);
}

function create(context: Context): RequestHandler {
  const { config, machines } = context;
  return async (req, res) => {
    const body: components['schemas']['CreateSnapshot'] = req.body;
    const wanted = {
      name: body.name ?? null,
      type: body.type ?? 'user',
      memoryMb: body.memory_mb ?? defaultSize.memoryMb,
      vcpuCount: body.vcpu_count ?? defaultSize.vcpuCount,
    };
    const spec = snapshotSpecOf(body.oci_image, body.build_args ?? {});
    // Before it is recorded, so that an image that may not be used leaves nothing.
    await machines?.images.prepare(body.oci_image);
    const made =
      spec !== null && machines
        ? await build(context, machines, actorOf(req), { ...wanted, spec })
        : await record(context, actorOf(req), { ...wanted, ociImage: body.oci_image });
    res.status(201);
    sendJson(res, config, snapshot(made, machines?.images));
  };
}

function record({ store, now }: Context, by: Actor, wanted: Parameters<typeof createSnapshot>[3]): Promise<Snapshot> {
  return inTransaction(store.db, (trx) => createSnapshot(trx, now(), by, wanted));
}

async function build({ store, now }: Context, machines: Machines, by: Actor, order: SnapshotOrder): Promise<Planned> {
  const begun = await inTransaction(store.db, (trx) => planSnapshot(trx, now(), by, order));
  machines.builds.start(begun.id, by);
  return plannedOf(begun);
}

function read({ store, config, machines }: Context): RequestHandler {
  return async (req, res) => {
    const [{ id }, reference] = [principalOf(req).user, snapshotId(req)];
    const found = (await findSnapshot(store.db, id, reference)) ?? (await findPlanned(store.db, id, reference));
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
