import type { Metadata } from './data.ts';

export type NamedFilter = {
  name: string;
  limit: number;
  /**
   * Returns the filter. Its rare values come from an existing sandbox; `call` is the number of
   * the call.
   */
  make: (metadata: Metadata, call: number) => object;
};

const prodInRegion = () => ({ env: 'prod', region: 'us-1' });

/** The measured filters. The number after a name is the limit, if it is not 100. */
export const filters: NamedFilter[] = [
  { name: 'none_1', limit: 1, make: () => ({}) },
  { name: 'none_100', limit: 100, make: () => ({}) },
  { name: 'none_1000', limit: 1000, make: () => ({}) },
  { name: 'user', limit: 100, make: ({ userId }) => ({ userId }) },
  { name: 'user_env', limit: 100, make: ({ userId, env }) => ({ userId, env }) },
  { name: 'user_1', limit: 1, make: ({ userId }) => ({ userId }) },
  { name: 'team', limit: 100, make: ({ team }) => ({ team }) },
  { name: 'team_1000', limit: 1000, make: ({ team }) => ({ team }) },
  { name: 'env_1', limit: 1, make: () => ({ env: 'prod' }) },
  { name: 'env_100', limit: 100, make: () => ({ env: 'prod' }) },
  { name: 'env_1000', limit: 1000, make: () => ({ env: 'prod' }) },
  { name: 'env_region_1', limit: 1, make: prodInRegion },
  { name: 'env_region_100', limit: 100, make: prodInRegion },
  { name: 'env_region_1000', limit: 1000, make: prodInRegion },
  { name: 'prod_team', limit: 100, make: ({ team }) => ({ env: 'prod', team }) },
  { name: 'branch_main', limit: 100, make: () => ({ git: { branch: 'main' } }) },
  { name: 'branch_feat', limit: 100, make: (_, call) => ({ git: { branch: `feature/${(call * 7) % 2000}` } }) },
  { name: 'five', limit: 100, make: fivePairs },
  { name: 'nomatch', limit: 100, make: (_, call) => ({ userId: `nobody-${call}` }) },
  { name: 'empty_env_region', limit: 100, make: () => ({ env: 'prod', region: 'eu-9' }) },
  { name: 'empty_env_branch', limit: 100, make: () => ({ env: 'dev', git: { branch: 'main' } }) },
];

/** Returns the filter of that name. Throws an Error if it is unknown. */
export function filterNamed(name: string): NamedFilter {
  const found = filters.find((filter) => filter.name === name);
  if (!found) throw new Error(`there is no filter ${name}`);
  return found;
}

function fivePairs({ userId, env, region, team, git }: Metadata): object {
  return { userId, env, region, team, git: { branch: git.branch } };
}
