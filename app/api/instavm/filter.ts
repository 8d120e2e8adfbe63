import { JsonError } from '../../../db/json/json.ts';
import { compileFilter, type Filter } from '../../../db/metadata.ts';
import { maxFilterLength } from '../../../spec/limits.ts';
import type { Context } from '../../context.ts';
import { jsonProblem, readJsonObject } from '../../contract/json.ts';
import { problemsOf } from '../../contract/problems/request-problems.ts';
import { isBreach, isValidatorError } from '../../contract/problems/validator-error.ts';
import { parseQuery } from '../../contract/query.ts';
import type { Refine } from '../../error-handler.ts';
import { type Problem, ValidationFailure } from '../../errors.ts';

const loc = ['query', 'metadata'];

/** The paths whose `metadata` is a filter. */
const filtered = new Set(['/v1/sessions/sandboxes', '/v1/vms/']);

/**
 * Returns the filter in the list's `metadata`, an empty one for undefined. The validator makes null
 * of an empty text where the contract allows null. Throws ValidationFailure.
 */
export function readFilter(text: string | null | undefined): Filter {
  const document = text === undefined ? {} : readJsonObject(text ?? '', loc, maxFilterLength);
  try {
    return compileFilter(document);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new ValidationFailure([jsonProblem(error, loc, text)]);
  }
}

/**
 * Adds the problems of the list's filter to those that the validator found. To the validator
 * `metadata` is text, so by itself it would report the other parameters only.
 */
export function addFilterProblems({ contract }: Pick<Context, 'contract'>): Refine {
  return (error, req) => {
    if (!filtered.has(req.path) || !isValidatorError(error) || !isBreach(error)) return error;
    return new ValidationFailure([...filterProblems(req.url), ...problemsOf(contract, error, req)]);
  };
}

/** Returns the problems of the list's `metadata` in a URL. */
export function filterProblems(url: string): Problem[] {
  try {
    readFilter(parseQuery(url).metadata);
    return [];
  } catch (error) {
    if (error instanceof ValidationFailure) return error.problems;
    throw error;
  }
}
