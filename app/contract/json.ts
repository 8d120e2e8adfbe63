import { isObject, JsonError, type JsonObject, parseJson } from '../../db/json/json.ts';
import { type Problem, ValidationFailure, valueError } from '../errors.ts';

/** Returns the JSON object in a text that was sent at `loc`. Throws ValidationFailure. */
export function readJsonObject(text: string, loc: string[], maxLength: number): JsonObject {
  if (text.length > maxLength) {
    const msg = `String should have at most ${maxLength} characters`;
    throw new ValidationFailure([{ type: 'string_too_long', loc, msg, input: text, ctx: { max_length: maxLength } }]);
  }
  const value = parseOrRefuse(text, loc, text);
  if (isObject(value)) return value;
  throw new ValidationFailure([{ type: 'dict_type', loc, msg: 'Input should be a valid dictionary', input: value }]);
}

/**
 * Returns the value of a JSON text that was sent at `loc`. Throws ValidationFailure, with `input`
 * as the problem's input.
 */
export function parseOrRefuse(text: string, loc: (string | number)[], input: unknown, depth?: number) {
  try {
    return parseJson(text, depth);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new ValidationFailure([jsonProblem(error, loc, input)]);
  }
}

/**
 * Returns the problem of JSON that was sent at `loc`. For a body the position is part of `loc`, as
 * in FastAPI. For any other text the message is that of Python's `str(JSONDecodeError)`.
 */
export function jsonProblem({ kind, message, position }: JsonError, loc: (string | number)[], input: unknown): Problem {
  if (kind === 'value') return { ...valueError(loc, message, input), ctx: { error: message } };
  const isBody = loc[0] === 'body';
  const error = isBody || position === null ? message : `${message}: ${pythonPosition(String(input), position)}`;
  return {
    type: 'json_invalid',
    loc: isBody && position !== null ? [...loc, position] : loc,
    msg: isBody ? 'JSON decode error' : `Invalid JSON: ${error}`,
    input,
    ctx: { error },
  };
}

/** Returns a position, counted in code points, as Python writes it. */
function pythonPosition(text: string, position: number): string {
  const before = [...text].slice(0, position);
  const line = before.filter((character) => character === '\n').length + 1;
  return `line ${line} column ${position - before.lastIndexOf('\n')} (char ${position})`;
}
