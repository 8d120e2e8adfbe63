import { type RequestHandler, Router } from 'express';
import { listSnapshots } from '../../../db/snapshots/list.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { type MachineError, statusOfMachine } from '../../machines/error.ts';
import { startForks, takeSnapshot } from '../../machines/snapshots/requests.ts';
import { nextToken, readToken } from './cursor.ts';
import { namespaceOf, parseReference } from './references.ts';
import { sandboxIdOf, unknownSandbox, withoutClientId } from './request.ts';
import { snapshotInfo, startedSandbox } from './shapes.ts';

type Schemas = components['schemas'];

/** The routes of the tag `e2b-snapshots`. */
export function e2bSnapshotsRoutes(context: Context): Router {
  const router = Router();
  router.post('/sandboxes/:sandboxID/snapshots', create(context));
  router.post('/sandboxes/:sandboxID/fork', fork(context));
  router.get('/snapshots', list(context));
  router.use('/sandboxes/:sandboxID', unknownSandbox);
  return router;
}

function create(context: Context): RequestHandler {
  const isMemoryOptional = context.machines !== null && !context.machines.driver.keepsMemory;
  return async (req, res) => {
    const { user } = principalOf(req);
    const namespace = namespaceOf(user.name);
    const { name, memory }: NonNullable<Schemas['SandboxSnapshotRequest']> = req.body;
    if (memory === false && !isMemoryOptional) throw filesystemOnly();
    const reference = name === undefined ? null : parseReference(name, namespace);
    if (reference?.includes('/')) throw new HttpError(400, `The namespace of a snapshot can only be '${namespace}'`);
    const wanted = { name: reference, replace: true };
    const snapshot = await takeSnapshot(context, req, sandboxIdOf(req), wanted);
    res.status(201).json(snapshotInfo(snapshot, namespace));
  };
}

/** Returns the error that E2B's clients know for a snapshot of the file system alone. */
function filesystemOnly(): HttpError {
  const reason = 'Sandpit does not offer snapshots of the file system only: leave out `memory`, or send true';
  return new HttpError(400, reason, {}, 'snapshot_filesystem_only_disabled');
}

function fork(context: Context): RequestHandler {
  return async (req, res) => {
    const { timeout, count }: Required<NonNullable<Schemas['SandboxForkRequest']>> = req.body;
    const wanted = { count, lifetimeSeconds: timeout };
    const { sandboxes, errors } = await startForks(context, req, sandboxIdOf(req), wanted);
    const started = sandboxes.map((sandbox) => ({ sandbox: startedSandbox(context, req, sandbox) }));
    const failed = errors.map((error) => ({ error: forkError(error) }));
    res.status(201).json([...started, ...failed] satisfies Schemas['SandboxForkResult'][]);
  };
}

function forkError({ code, message }: MachineError): Schemas['E2BError'] {
  return { code: statusOfMachine[code], message };
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const namespace = namespaceOf(user.name);
    const { sandboxID, name, nextToken: token } = req.query as Record<string, string | undefined>;
    const limit = Number(req.query.limit);
    const found = await listSnapshots(store.db, user.id, {
      sandboxId: sandboxID === undefined ? undefined : withoutClientId(sandboxID),
      reference: name === undefined ? undefined : parseReference(name, namespace),
      after: readToken(token),
      limit: limit + 1,
    });
    const page = found.slice(0, limit);
    const last = page.at(-1);
    if (found.length > limit && last) res.set('X-Next-Token', nextToken({ startedAt: last.createdAt, id: last.id }));
    res.json(page.map((snapshot) => snapshotInfo(snapshot, namespace)));
  };
}
