import { JsonError } from './error.ts';
import { longNumerals, type Span } from './numerals.ts';
import { readJson } from './reader.ts';

export { JsonError };

/**
 * JSON as PostgreSQL's jsonb accepts it: numbers keep their exact decimal value, the last of
 * duplicate keys counts, NUL characters and lone surrogates are refused.
 */
declare global {
  // ECMAScript's "JSON.parse source text access" (stage 4). Node has it; TypeScript 5.9 has no
  // types.
  interface JSON {
    rawJSON(text: string): RawNumber;
    isRawJSON(value: unknown): value is RawNumber;
  }
}

/** A number that a double can't hold exactly. JSON.stringify prints it as it was written. */
export interface RawNumber {
  readonly rawJSON: string;
}
export type Json = null | boolean | number | string | RawNumber | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** How deep arrays and objects may nest; the outermost is level 1. */
export const maxDepth = 64;

/**
 * PostgreSQL's limits for a numeric: digits before and after the decimal point (its documentation,
 * table 8.2).
 */
const maxIntegerDigits = 131_072;
const maxFractionDigits = 16_383;

/**
 * Parses a JSON text that nests at most `depth` levels deep. JSON.stringify prints the value.
 * Throws JsonError; the message of a syntax error is that of Python's `json`.
 */
export function parseJson(text: string, depth = maxDepth): Json {
  const long = longNumerals(text, depth);
  try {
    const value = JSON.parse(long.length === 0 ? text : withMarks(text, long)) as Json;
    refuseUnstorable(text);
    return long.length === 0 ? value : exactly(value);
  } catch (error) {
    if (error instanceof SyntaxError) throw syntaxError(text, error.message);
    throw error;
  }
}

/**
 * Returns Python's error for a text that JSON.parse refused, or one with `otherwise` if Python
 * accepts the text.
 */
function syntaxError(text: string, otherwise: string): JsonError {
  try {
    readJson(text);
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  return new JsonError('syntax', otherwise);
}

/**
 * Replaces each of the numerals by a string of NUL and the numeral. The native parser is many times
 * faster on this than with a reviver that inspects every value. No other string starts with NUL:
 * `refuseUnstorable` checks that before `exactly` turns these strings back into numbers.
 */
function withMarks(text: string, numerals: Span[]): string {
  let marked = '';
  let done = 0;
  for (const [from, to] of numerals) {
    marked += `${text.slice(done, from)}"\\u0000${text.slice(from, to)}"`;
    done = to;
  }
  return marked + text.slice(done);
}

/** Replaces the marks in a value by numbers, in place, and returns the value. */
function exactly(value: Json): Json {
  if (typeof value === 'string') return value.startsWith('\0') ? rawNumber(value.slice(1)) : value;
  if (typeof value !== 'object' || value === null) return value;
  const holder = value as Record<string, Json>;
  for (const key of Object.keys(holder)) {
    const member = holder[key] as Json;
    if (typeof member === 'string' || typeof member === 'object') holder[key] = exactly(member);
  }
  return value;
}

function rawNumber(numeral: string): RawNumber {
  refuseBeyondNumeric(numeral);
  return JSON.rawJSON(numeral);
}

/**
 * Throws JsonError beyond PostgreSQL's numeric. A short numeral can only exceed it through its
 * exponent.
 */
function refuseBeyondNumeric(numeral: string): void {
  if (numeral.length > maxFractionDigits || /[eE]/.test(numeral)) canonicalNumber(numeral);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

/**
 * Returns the canonical form of a JSON numeral, which two numerals share exactly when they are
 * equal as decimals: `1`, `1.0` and `10e-1` all become `1e0`; zero of either sign becomes `0`.
 * Throws JsonError beyond the limits of PostgreSQL's numeric.
 */
export function canonicalNumber(numeral: string): string {
  const [, sign = '', whole = '', fraction = '', exponentText = '0'] = numeralParts.exec(numeral) ?? [];
  const exponent = Number(exponentText);
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  if (digits === '') return '0';
  const lowest = exponent - fraction.length;
  if (digits.length + lowest > maxIntegerDigits || -lowest > maxFractionDigits) {
    throw new JsonError('value', 'a number is beyond the range of a PostgreSQL numeric');
  }
  // A regular expression for trailing zeros would retry at each run of zeros: quadratic time.
  let end = digits.length;
  while (digits.endsWith('0', end)) end--;
  return `${sign}${digits.slice(0, end)}e${lowest + digits.length - end}`;
}

const numeralParts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * Checks the text, not the value, because jsonb also refuses strings that a duplicate key
 * overrides.
 */
function refuseUnstorable(text: string): void {
  if (!text.includes('\\u')) return;
  for (const [literal] of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
    const content = JSON.parse(literal) as string;
    if (content.includes('\0')) throw new JsonError('value', 'a string contains the NUL character (\\u0000)');
    if (!content.isWellFormed()) throw new JsonError('value', 'a string contains half of a surrogate pair');
  }
}
