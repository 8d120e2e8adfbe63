import { isObject, JsonError, type JsonObject, parseJson } from '../db/json.ts';
import { type Problem, ValidationFailure, valueError } from './validation.ts';

/** Returns the JSON object that a text found at `loc` holds. Throws ValidationFailure. */
export function readJsonObject(text: string, loc: string[], maxLength: number): JsonObject {
  if (text.length > maxLength) {
    const msg = `String should have at most ${maxLength} characters`;
    throw new ValidationFailure([{ type: 'string_too_long', loc, msg, input: text, ctx: { max_length: maxLength } }]);
  }
  const value = parseOrRefuse(text, loc, text);
  if (isObject(value)) return value;
  throw new ValidationFailure([{ type: 'dict_type', loc, msg: 'Input should be a valid dictionary', input: value }]);
}

/** Returns the value of a JSON text found at `loc`; `input` is what the error shows of it. Throws ValidationFailure. */
export function parseOrRefuse(text: string, loc: (string | number)[], input: unknown, depth?: number) {
  try {
    return parseJson(text, depth);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new ValidationFailure([jsonProblem(error, loc, input)]);
  }
}

/** Returns what is wrong with JSON found at `loc`. */
export function jsonProblem({ kind, message, position }: JsonError, loc: (string | number)[], input: unknown): Problem {
  if (kind === 'value') return { ...valueError(loc, message, input), ctx: { error: message } };
  const isBody = loc[0] === 'body';
  return {
    type: 'json_invalid',
    // FastAPI adds where a body went wrong.
    loc: isBody && position !== null ? [...loc, position] : loc,
    msg: isBody ? 'JSON decode error' : `Invalid JSON: ${message}`,
    input,
    ctx: { error: message },
  };
}
