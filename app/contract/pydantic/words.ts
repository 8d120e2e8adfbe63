import { type Sent, SentNumber } from '../../../db/json/reader.ts';
import type { Schema } from '../../../spec/load.ts';
import { isTooLong } from '../query.ts';
import { badDatetime, readDatetime } from './datetime.ts';

/** What a problem says, apart from its place and input. */
export type Words = { type: string; msg: string; ctx?: Record<string, unknown> };

export const missing: Words = { type: 'missing', msg: 'Field required' };
export const extraForbidden: Words = { type: 'extra_forbidden', msg: 'Extra inputs are not permitted' };

/** Returns the words for a value of another type than the schema's. `isText` is true of parts of a URL and of headers. */
export function wrongType(schema: Schema, expected: string, value: Sent, isText: boolean): Words {
  if (expected === 'integer' && isText) return badInteger(String(value));
  if (expected === 'integer' && isNumber(value)) return notWhole(value);
  if (expected === 'object' && schema.properties) return notAModel;
  return typeWords[expected] ?? valueErrorOf('the value is of the wrong type');
}

const notAModel: Words = {
  type: 'model_attributes_type',
  msg: 'Input should be a valid dictionary or object to extract fields from',
};

const typeWords: Record<string, Words> = {
  integer: { type: 'int_type', msg: 'Input should be a valid integer' },
  number: { type: 'float_type', msg: 'Input should be a valid number' },
  string: { type: 'string_type', msg: 'Input should be a valid string' },
  boolean: { type: 'bool_type', msg: 'Input should be a valid boolean' },
  object: { type: 'dict_type', msg: 'Input should be a valid dictionary' },
  array: { type: 'list_type', msg: 'Input should be a valid list' },
};

function notWhole(value: number | SentNumber): Words {
  if (Number.isFinite(numberOf(value))) {
    return { type: 'int_from_float', msg: 'Input should be a valid integer, got a number with a fractional part' };
  }
  return { type: 'finite_number', msg: 'Input should be a finite number' };
}

function badInteger(text: string): Words {
  if (isTooLong(text)) {
    const msg = 'Unable to parse input string as an integer, exceeded maximum size';
    return { type: 'int_parsing_size', msg };
  }
  return { type: 'int_parsing', msg: 'Input should be a valid integer, unable to parse string as an integer' };
}

/** Returns the words for a bound that a value of the right type breaks; null where it breaks none. */
export function brokenBound(schema: Schema, value: Sent): Words | null {
  if (isNumber(value)) return brokenRange(schema, numberOf(value));
  if (typeof value === 'string') return brokenText(schema, value);
  return null;
}

function brokenRange({ minimum, maximum }: Schema, value: number): Words | null {
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

function brokenText({ minLength = 0, maxLength, pattern, format }: Schema, text: string): Words | null {
  if (format === 'pydantic-datetime') return readDatetime(text) ? null : badDatetime(text);
  if (text.length < minLength * 2 && [...text].length < minLength) {
    return textLength('string_too_short', 'at least', 'min_length', minLength);
  }
  if (maxLength !== undefined && text.length > maxLength && isLonger(text, maxLength)) {
    return textLength('string_too_long', 'at most', 'max_length', maxLength);
  }
  if (pattern === undefined || new RegExp(pattern, 'u').test(text)) return null;
  return { type: 'string_pattern_mismatch', msg: `String should match pattern '${pattern}'`, ctx: { pattern } };
}

/** Lengths count code points. */
function isLonger(text: string, length: number): boolean {
  return text.length > length * 2 || [...text].length > length;
}

function textLength(type: string, bound: string, name: string, length: number): Words {
  return { type, msg: `String should have ${bound} ${counted(length, 'character')}`, ctx: { [name]: length } };
}

/** Returns the words for a list of fewer or more items than allowed. */
export function listLength(bound: 'minItems' | 'maxItems', allowed: number, actual: number): Words {
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

/** Returns the words for a value that is none of those allowed. */
export function notListed(allowed: unknown[]): Words {
  const words = allowed.filter((value) => value !== null).map((value) => shown(value));
  const expected = words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : words.join('');
  return { type: 'literal_error', msg: `Input should be ${expected}`, ctx: { expected } };
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

/** Returns the words for a value that has the right shape and can't be used. */
export function valueErrorOf(message: string): Words {
  return { type: 'value_error', msg: `Value error, ${message}`, ctx: { error: message } };
}

export function isNumber(value: unknown): value is number | SentNumber {
  return typeof value === 'number' || value instanceof SentNumber;
}

export function numberOf(value: number | SentNumber): number {
  return typeof value === 'number' ? value : Number(value.text);
}
