import type { RequestHandler } from 'express';
import type { JsonObject } from '../../../db/json/json.ts';
import { updateSandbox } from '../../../db/sandboxes/change.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { coverIpv4, isRange, parseRange } from '../../machines/network/range.ts';
import { keptNetwork } from '../../network.ts';
import { sandboxIdOf } from './request.ts';
import type { Settings } from './shapes.ts';

type Schemas = components['schemas'];
type Lists = Pick<Schemas['SandboxNetworkConfig'], 'allowOut' | 'denyOut'>;

/** A domain, also with a first label `*` for all below it (RFC 1123, 2.1). */
const domain = /^(\*\.)?([a-z\d_]([a-z\d_-]{0,61}[a-z\d])?\.)*[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/i;

/**
 * Throws HttpError 400 for entries that name nothing, and for domains without a denial of all else,
 * which would not restrict anything. E2B's server refuses both.
 */
export function requireDestinations({ allowOut = [], denyOut = [] }: Lists, hasInternet: boolean): void {
  const invalid = [...denyOut.filter((each) => !isRange(each)), ...allowOut.filter((each) => !isDestination(each))];
  if (invalid.length > 0)
    throw new HttpError(
      400,
      `Invalid network rule ${JSON.stringify(invalid[0])}: denyOut takes addresses and CIDR blocks, allowOut also domains`,
    );
  const deniesAll = !hasInternet || coverIpv4(denyOut.map(parseRange));
  if (!deniesAll && !allowOut.every(isRange))
    throw new HttpError(400, 'Domains in allowOut need 0.0.0.0/0 in denyOut: without it everything is allowed anyway');
}

function isDestination(text: string): boolean {
  // A name whose last label is a number would be an address (RFC 3696, 2).
  return isRange(text) || (domain.test(text) && !/(^|\.)\d+$/.test(text));
}

/** Replaces the rules of a sandbox, and of its machine. */
export function updateNetwork({ store, now, machines }: Context): RequestHandler {
  return async (req, res) => {
    const body: Schemas['SandboxNetworkUpdate'] = req.body;
    requireDestinations(body, body.allow_internet_access !== false);
    const change = { network: changed(body) };
    const record = (trx: Trx) => updateSandbox(trx, now(), actorOf(req), sandboxIdOf(req), change);
    await (machines ? machines.restrict(sandboxIdOf(req), record) : inTransaction(store.db, record));
    res.status(204).end();
  };
}

/** Returns the change of a sandbox's settings that a request asks for. */
function changed({ allow_internet_access: allowInternetAccess, ...rules }: Schemas['SandboxNetworkUpdate']) {
  const change = ({ network, egressPolicy: _, ...others }: Settings & { egressPolicy?: object }): Settings => {
    // An update replaces all rules but those of `fixed`, which can only be set at creation.
    const { allowOut, denyOut, dnsServers, rules: old, egressProxy, ...fixed } = keptNetwork(network ?? {});
    return { ...others, allowInternetAccess, network: { ...fixed, ...keptNetwork(rules) } };
  };
  return change as (settings: JsonObject) => JsonObject;
}
