import type { Request } from 'express';
import { type Sent, SentNumber } from '../../../db/json/reader.ts';
import type { Problem } from '../../errors.ts';
import { asPythonJson } from '../pydantic/python-json.ts';
import { sentAt } from '../sent-values.ts';

/**
 * Bounds on a 422, so that no response is much longer than its request: JSON text of all inputs,
 * and of one name.
 */
const maxInputLength = 32_768;
const maxNameLength = 1000;

/**
 * Returns the problems as the response shows them: each `input` as it was sent, without the
 * contract's defaults, and left out once all inputs together would be too long.
 */
export function shownProblems(problems: Problem[], req: Request): Problem[] {
  let left = maxInputLength;
  return problems.map((problem) => {
    const { input, ...rest } = problem;
    const loc = problem.loc.map(shortened);
    const value = isOfBody(problem) ? (sentAt(req, problem.loc.slice(1)) ?? input) : input;
    const length = value === undefined ? 0 : lengthOf(value, left);
    if (value === undefined || length > left) return { ...rest, loc };
    left -= length;
    const { type, msg, ctx } = rest;
    return { type, loc, msg, input: asPythonJson(value as Sent), ...(ctx && { ctx }) };
  });
}

/**
 * Only a route reports this type for a body. The input that it reports has the contract's defaults
 * in it.
 */
function isOfBody({ type, loc }: Problem): boolean {
  return type === 'value_error' && loc[0] === 'body';
}

/** Returns a part of a location; a name of more than 1,000 characters is cut. */
export function shortened(part: string | number): string | number {
  return typeof part === 'string' && part.length > maxNameLength ? `${part.slice(0, maxNameLength)}…` : part;
}

/**
 * Returns the length of a value's JSON text, or any number above `most` if it is longer than that.
 */
function lengthOf(value: unknown, most: number): number {
  if (value instanceof SentNumber) return value.text.length;
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return String(value).length;
  let length = 2;
  for (const [key, member] of entriesOf(value)) {
    length += (typeof key === 'string' ? key.length + 3 : 1) + lengthOf(member, most - length);
    if (length > most) break;
  }
  return length;
}

function entriesOf(value: object): Iterable<[string | number, unknown]> {
  if (Array.isArray(value)) return value.entries();
  return value instanceof Map ? value : Object.entries(value);
}
