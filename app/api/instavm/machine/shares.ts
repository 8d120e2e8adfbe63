import { type Request, type RequestHandler, Router } from 'express';
import { deleteShare, getShare, putShare, type Share, setPublic } from '../../../../db/machines/shares.ts';
import { inTransaction } from '../../../../db/store.ts';
import { isoTime } from '../../../../spec/time.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { domainFor, noDomain } from '../../../ports/domain.ts';
import { cutShare } from '../../../ports/shares.ts';
import { type MachineTargets, noMachines } from './target.ts';

type Schemas = components['schemas'];

const unreachable =
  'No name leads to a port of a sandbox from where you are: the operator has to set SANDPIT_DOMAIN, see OPERATING.md';

/** The routes that show a port of a sandbox to others. */
export function sharesRoutes(context: Context, targets: MachineTargets): Router {
  const router = Router();
  router.post('/v1/shares', create(context, targets));
  router.patch('/v1/shares/:share_id', update(context));
  router.get('/v1/sessions/app-url/:session_id', appUrl(context, targets));
  return router;
}

function create(context: Context, targets: MachineTargets): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const { port, is_public: isPublic = false, vm_id: vmId, session_id: sessionId }: Schemas['NewShare'] = req.body;
    if (!vmId && !sessionId) throw new HttpError(403, 'Name the sandbox with vm_id or session_id');
    const { id: sandboxId } = await (vmId ? targets.ofVm(req, vmId) : targets.ofSession(req, sessionId as string));
    requireDomain(context, req);
    const wanted = { sandboxId, port, isPublic: isPublic ?? false };
    const share = await inTransaction(store.db, (trx) => putShare(trx, now(), wanted));
    if (!share.isPublic) cutShare(share.id);
    res.status(201).json(shown(context, req, share));
  };
}

/** A share that is no longer public, or no longer at all, ends its connections at once. */
function update(context: Context): RequestHandler {
  const { store, machines } = context;
  return async (req, res) => {
    if (!machines) throw new HttpError(501, noMachines);
    const { is_public: isPublic, revoke }: Schemas['ShareChange'] = req.body;
    const share = await inTransaction(store.db, async (trx) => {
      const found = await getShare(trx, principalOf(req).user.id, req.params.share_id as string);
      req.sandboxId = found.sandboxId;
      if (revoke) await deleteShare(trx, found.id);
      else if (isPublic != null) await setPublic(trx, found.id, isPublic);
      return { ...found, isPublic: isPublic ?? found.isPublic };
    });
    if (revoke || !share.isPublic) cutShare(share.id);
    res.json({ ...shown(context, req, share), ...(revoke && { status: 'revoked' }) });
  };
}

function appUrl(context: Context, targets: MachineTargets): RequestHandler {
  return async (req, res) => {
    const port = Number(req.query.port);
    const sessionId = req.params.session_id as string;
    const { id } = await targets.ofSession(req, sessionId);
    const url = `${req.protocol}://${port}-${id}.${requireDomain(context, req)}`;
    res.json({ url, app_url: url, direct_url: url, port, vm_id: id, session_id: sessionId, status: 'active' });
  };
}

/** Throws HttpError 501 if no name leads to ports. */
function requireDomain(context: Context, req: Request): string {
  const domain = domainFor(context, req);
  if (domain === noDomain) throw new HttpError(501, unreachable);
  return domain;
}

function shown(context: Context, req: Request, { id, sandboxId, port, isPublic, createdAt }: Share): Schemas['Share'] {
  const token = isPublic ? undefined : context.machines?.trafficTokenOf(sandboxId);
  return {
    share_id: id,
    url: `${req.protocol}://${id}.${domainFor(context, req)}`,
    vm_id: sandboxId,
    port,
    is_public: isPublic,
    status: 'active',
    created_at: isoTime(createdAt),
    ...(token !== undefined && { access_token: token }),
  };
}
