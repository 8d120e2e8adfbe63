import type { components } from '../../../spec/types.gen.ts';
import { HttpError } from '../../errors.ts';
import type { Driver } from '../../machines/driver.ts';
import { isRange } from '../../machines/network/range.ts';

type Schemas = components['schemas'];

/** A policy of InstaVM's with all its members, as it is stored and shown. */
export type Policy = Required<Schemas['EgressPolicy']>;

/**
 * Returns a policy with every member: what a client leaves out is closed. Throws HttpError 403 for
 * an address that is none, because InstaVM's client shows its user nothing of a 422.
 */
export function policyOf(given: Schemas['EgressPolicy']): Policy {
  const {
    allow_http: http = false,
    allow_https: https = false,
    allowed_domains: domains,
    allowed_cidrs: ranges,
  } = given;
  const wrong = ranges?.find((each) => !isRange(each));
  if (wrong !== undefined) throw new HttpError(403, `allowed_cidrs: '${wrong}' is no address and no CIDR block`);
  const packages = given.allow_package_managers ?? given.allow_public_repos ?? false;
  return {
    allow_package_managers: packages,
    allow_public_repos: packages,
    allow_http: http,
    allow_https: https,
    allowed_domains: domains ?? [],
    allowed_cidrs: ranges ?? [],
  };
}

/**
 * Throws HttpError 501 for what the machines can't enforce: most check addresses, not names. With
 * port 443 open, package managers reach their registries anyway.
 */
export function refusePolicy({ features }: Pick<Driver, 'features'>, policy: Policy): void {
  const { allow_https: https, allow_package_managers: packages, allowed_domains: domains } = policy;
  if (!features.has('domains') && domains.length > 0) throw new HttpError(501, noDomains);
  if (!features.has('domains') && packages && !https) throw new HttpError(501, noPackages);
  if (!features.has('egress')) throw new HttpError(501, noRules);
}

const noRules = 'The machines of this server have no network rules: leave the policy out';
const noDomains =
  'allowed_domains is not offered: the machines of this server check addresses, not names; give the addresses in allowed_cidrs';
const noPackages =
  'allow_package_managers needs allow_https here: the machines of this server check addresses, not the names of registries';
