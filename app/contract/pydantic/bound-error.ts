import type { Sent } from '../../../db/json/reader.ts';
import type { Schema } from '../../../spec/load.ts';
import { readDatetime } from './datetime.ts';
import { datetimeError } from './datetime-error.ts';
import type { PydanticError } from './error.ts';
import { isNumber, numberOf } from './number.ts';

/**
 * Returns the error for the first bound that a value of the right type breaks; null if it keeps
 * them all.
 */
export function boundError(schema: Schema, value: Sent): PydanticError | null {
  if (isNumber(value)) return rangeError(schema, numberOf(value));
  if (typeof value === 'string') return textError(schema, value);
  return null;
}

function rangeError({ minimum, maximum }: Schema, value: number): PydanticError | null {
  if (maximum !== undefined && value > maximum) {
    return {
      type: 'less_than_equal',
      msg: `Input should be less than or equal to ${maximum}`,
      ctx: { le: maximum },
    };
  }
  if (minimum === undefined || value >= minimum) return null;
  return {
    type: 'greater_than_equal',
    msg: `Input should be greater than or equal to ${minimum}`,
    ctx: { ge: minimum },
  };
}

function textError({ minLength = 0, maxLength, pattern, format }: Schema, text: string): PydanticError | null {
  if (format === 'pydantic-datetime') return readDatetime(text) ? null : datetimeError(text);
  if (text.length < minLength * 2 && [...text].length < minLength) {
    return lengthError('string_too_short', 'at least', 'min_length', minLength);
  }
  if (maxLength !== undefined && text.length > maxLength && isLonger(text, maxLength)) {
    return lengthError('string_too_long', 'at most', 'max_length', maxLength);
  }
  if (pattern === undefined || new RegExp(pattern, 'u').test(text)) return null;
  return { type: 'string_pattern_mismatch', msg: `String should match pattern '${pattern}'`, ctx: { pattern } };
}

/**
 * Compares in code points. A code point is at most two UTF-16 units, so most texts need no
 * counting.
 */
function isLonger(text: string, length: number): boolean {
  return text.length > length * 2 || [...text].length > length;
}

function lengthError(type: string, bound: string, name: string, length: number): PydanticError {
  return { type, msg: `String should have ${bound} ${counted(length, 'character')}`, ctx: { [name]: length } };
}

/** Returns the error for a list with fewer or more items than allowed. */
export function listLengthError(bound: 'minItems' | 'maxItems', allowed: number, actual: number): PydanticError {
  const [type, words, name] =
    bound === 'minItems' ? ['too_short', 'at least', 'min_length'] : ['too_long', 'at most', 'max_length'];
  return {
    type,
    msg: `List should have ${words} ${counted(allowed, 'item')} after validation, not ${actual}`,
    ctx: { field_type: 'List', [name]: allowed, actual_length: actual },
  };
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
