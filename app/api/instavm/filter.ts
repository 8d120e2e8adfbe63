import { JsonError } from '../../../db/json/json.ts';
import { compileFilter, type Filter } from '../../../db/metadata.ts';
import { jsonProblem, readJsonObject } from '../../contract/json.ts';
import { parseQuery } from '../../contract/query.ts';
import { type Problem, ValidationFailure } from '../../errors.ts';

/** The contract's description names it. */
const maxFilterLength = 8192;

const loc = ['query', 'metadata'];

/**
 * Returns the filter that the list's `metadata` stands for. Null is what the validator makes of an empty text where null
 * is allowed. Throws ValidationFailure.
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

/** Returns what is wrong with the list's `metadata` in a URL. */
export function filterProblems(url: string): Problem[] {
  try {
    readFilter(parseQuery(url).metadata);
    return [];
  } catch (error) {
    if (error instanceof ValidationFailure) return error.problems;
    throw error;
  }
}
