import { type Request, type RequestHandler, Router } from 'express';
import type { JsonObject } from '../../../../db/json/json.ts';
import { updateSandbox } from '../../../../db/sandboxes/change.ts';
import { findSandbox, type Sandbox } from '../../../../db/sandboxes/read.ts';
import { findSession } from '../../../../db/sessions/sessions.ts';
import type { Trx } from '../../../../db/store.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../../auth.ts';
import type { Context, Machines } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { egressOf } from '../../../machines/network/settings.ts';
import { type Policy, policyOf, refusePolicy } from '../egress-policy.ts';
import { noMachines } from './target.ts';

type Schemas = components['schemas'];

/** The routes of what a sandbox may reach. */
export function egressRoutes(context: Context): Router {
  const router = Router();
  const finder = sandboxFinder(context);
  for (const path of ['/v1/egress/session/:session_id', '/v1/egress/vm/:vm_id']) {
    router.get(path, async (req, res) => void res.json(shownPolicy(await finder(req))));
    router.post(path, update(context, finder));
  }
  return router;
}

type Find = (req: Request) => Promise<Sandbox>;

function update({ machines, now }: Context, find: Find): RequestHandler {
  return async (req, res) => {
    const sandbox = await find(req);
    const { driver, restrict } = machines as Machines;
    const policy = policyOf(req.body as Schemas['EgressPolicy']);
    refusePolicy(driver, policy);
    // In place of all rules that E2B's clients have set.
    const network = ({ network, allowInternetAccess: _, ...others }: JsonObject): JsonObject => {
      const { allowOut, denyOut, dnsServers, ...fixed } = (network ?? {}) as JsonObject;
      return { ...others, network: fixed, egressPolicy: policy };
    };
    await restrict(sandbox.id, (trx: Trx) => updateSandbox(trx, now(), actorOf(req), sandbox.id, { network }));
    res.json({ status: 'ok', ...policy });
  };
}

/** Of a sandbox without a policy of this dialect, the policy is what its other rules come to. */
function shownPolicy({ settings }: Sandbox): Schemas['EgressPolicy'] {
  const stored = JSON.parse(settings ?? '{}');
  if (stored.egressPolicy) return stored.egressPolicy;
  const { internet, allow, domains } = egressOf(stored);
  return {
    allow_package_managers: internet,
    allow_public_repos: internet,
    allow_http: internet,
    allow_https: internet,
    allowed_domains: domains,
    allowed_cidrs: allow,
  } satisfies Policy;
}

/** Returns a function that finds the caller's sandbox. Throws HttpError 403 in words, and 501. */
function sandboxFinder({ store, now, machines }: Context): Find {
  return async (req) => {
    if (!machines) throw new HttpError(501, noMachines);
    const { session_id: sessionId, vm_id: vmId } = req.params as { session_id?: string; vm_id?: string };
    const owner = principalOf(req).user.id;
    const session = sessionId ? await findSession(store.db, now(), owner, sessionId) : null;
    const sandbox = session?.sandbox ?? (vmId ? await findSandbox(store.db, now(), owner, vmId) : null);
    if (!sandbox) throw new HttpError(403, `There is no ${sessionId ? `session ${sessionId}` : `sandbox ${vmId}`}`);
    if (sandbox.status === 'killed') throw new HttpError(403, `The sandbox ${sandbox.id} has ended`);
    req.sandboxId = sandbox.id;
    return sandbox;
  };
}
