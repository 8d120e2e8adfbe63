import { isObject, JsonError, type JsonObject, parseJson } from '../../db/json/json.ts';
import { type Problem, ValidationFailure, valueError } from '../errors.ts';

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

/**
 * Returns what is wrong with JSON found at `loc`. Of a body the place is part of `loc`, as FastAPI has it; of any other
 * text the words are those of Python's `str(JSONDecodeError)`.
 */
export function jsonProblem({ kind, message, position }: JsonError, loc: (string | number)[], input: unknown): Problem {
  if (kind === 'value') return { ...valueError(loc, message, input), ctx: { error: message } };
  const isBody = loc[0] === 'body';
  const error = isBody || position === null ? message : `${message}: ${placeOf(String(input), position)}`;
  return {
    type: 'json_invalid',
    loc: isBody && position !== null ? [...loc, position] : loc,
    msg: isBody ? 'JSON decode error' : `Invalid JSON: ${error}`,
    input,
    ctx: { error },
  };
}

/** Returns a place in a text, counted in code points, in Python's words. */
function placeOf(text: string, position: number): string {
  const before = [...text].slice(0, position);
  const line = before.filter((character) => character === '\n').length + 1;
  return `line ${line} column ${position - before.lastIndexOf('\n')} (char ${position})`;
}
