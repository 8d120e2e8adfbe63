import type { Rule } from '../rule.ts';
import { auth } from './auth.ts';
import { filters } from './filter.ts';
import { generated } from './generated.ts';
import { limits } from './limit.ts';
import { isolation, killed, order } from './order.ts';
import { refusals } from './refusals.ts';
import { responses, shapes } from './shapes.ts';

/** Every rule, in the order of a run. Rules that end a sandbox follow those that need it active. */
export const rules: Rule[] = [
  ...shapes,
  ...limits,
  ...filters,
  ...refusals,
  ...order,
  ...auth,
  ...isolation,
  ...generated,
  ...killed,
  ...responses,
];
