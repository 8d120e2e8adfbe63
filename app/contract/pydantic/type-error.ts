import type { Sent, SentNumber } from '../../../db/json/reader.ts';
import type { Schema } from '../../../spec/load.ts';
import { type PydanticError, valueErrorOf } from './error.ts';
import { isTooLong } from './integer.ts';
import { isNumber, numberOf } from './number.ts';

const typeErrors: Record<string, PydanticError> = {
  integer: { type: 'int_type', msg: 'Input should be a valid integer' },
  number: { type: 'float_type', msg: 'Input should be a valid number' },
  string: { type: 'string_type', msg: 'Input should be a valid string' },
  boolean: { type: 'bool_type', msg: 'Input should be a valid boolean' },
  object: { type: 'dict_type', msg: 'Input should be a valid dictionary' },
  array: { type: 'list_type', msg: 'Input should be a valid list' },
};

const notAModel: PydanticError = {
  type: 'model_attributes_type',
  msg: 'Input should be a valid dictionary or object to extract fields from',
};

/**
 * Returns the error for a value that is not of the schema's type, `expected`. `isText` is true for
 * values from a URL or a header, where pydantic parses integers.
 */
export function typeError(schema: Schema, expected: string, value: Sent, isText: boolean): PydanticError {
  if (expected === 'integer' && isText) return integerParsingError(String(value));
  if (expected === 'integer' && isNumber(value)) return fractionError(value);
  if (expected === 'object' && schema.properties) return notAModel;
  return typeErrors[expected] ?? valueErrorOf('the value is of the wrong type');
}

function fractionError(value: number | SentNumber): PydanticError {
  if (Number.isFinite(numberOf(value))) {
    return { type: 'int_from_float', msg: 'Input should be a valid integer, got a number with a fractional part' };
  }
  return { type: 'finite_number', msg: 'Input should be a finite number' };
}

function integerParsingError(text: string): PydanticError {
  if (isTooLong(text)) {
    const msg = 'Unable to parse input string as an integer, exceeded maximum size';
    return { type: 'int_parsing_size', msg };
  }
  return { type: 'int_parsing', msg: 'Input should be a valid integer, unable to parse string as an integer' };
}

/** Returns the error for a value that is not in the schema's `enum`. */
export function enumError(allowed: unknown[]): PydanticError {
  const values = allowed.filter((value) => value !== null).map((value) => quoted(value));
  const expected = values.length > 1 ? `${values.slice(0, -1).join(', ')} or ${values.at(-1)}` : values.join('');
  return { type: 'literal_error', msg: `Input should be ${expected}`, ctx: { expected } };
}

function quoted(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

/**
 * Returns whether a value is of a JSON Schema type. Infinite numbers, such as 1e999, are of none.
 */
export function isOfType(type: string, value: Sent): boolean {
  switch (type) {
    case 'integer':
      return isNumber(value) && Number.isInteger(numberOf(value));
    case 'number':
      return isNumber(value) && Number.isFinite(numberOf(value));
    case 'array':
      return Array.isArray(value);
    case 'object':
      return value instanceof Map;
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}
