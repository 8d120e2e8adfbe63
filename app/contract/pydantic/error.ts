import type { Problem } from '../../errors.ts';

/** A pydantic error without its location and input: the parts that depend on the rule alone. */
export type PydanticError = Pick<Problem, 'type' | 'msg' | 'ctx'>;

export const missing: PydanticError = { type: 'missing', msg: 'Field required' };
export const extraForbidden: PydanticError = { type: 'extra_forbidden', msg: 'Extra inputs are not permitted' };

/** Returns the error for a value of the right type that cannot be used; `reason` says why. */
export function valueErrorOf(reason: string): PydanticError {
  return { type: 'value_error', msg: `Value error, ${reason}`, ctx: { error: reason } };
}
