import { JsonError } from './error.ts';
import { longNumerals, type Span } from './numerals.ts';
import { readJson } from './reader.ts';

export { JsonError };

/**
 * JSON as PostgreSQL's jsonb takes it: numbers keep their exact decimal value, of a duplicated key the last value
 * counts, NUL characters and lone surrogates are refused.
 */
declare global {
  // ECMAScript's "JSON.parse source text access" (stage 4), in Node since 21; TypeScript 5.9 doesn't describe it yet.
  interface JSON {
    rawJSON(text: string): RawNumber;
    isRawJSON(value: unknown): value is RawNumber;
  }
}

/** A number that a double can't hold; JSON.stringify prints it as it was written. */
export interface RawNumber {
  readonly rawJSON: string;
}
export type Json = null | boolean | number | string | RawNumber | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** How deep arrays and objects may nest, the outermost counting as one. */
export const maxDepth = 64;

/** PostgreSQL's bounds of a numeric: decimal digits before and after the point (its documentation, table 8.2). */
const maxIntegerDigits = 131_072;
const maxFractionDigits = 16_383;

/**
 * Returns the value that the text stands for, which may nest `depth` levels deep. Print it with JSON.stringify.
 * Throws JsonError; of a syntax error in the words of Python's `json`.
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

/** Returns Python's account of a text that JSON.parse refused; `otherwise` are the words if Python has none. */
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
 * Returns the text with a string in place of each of the numerals: a NUL character and the numeral. The native parser is
 * many times faster with these than with a function that looks at every value. No other string begins with NUL:
 * refuseUnstorable sees to that before `exactly` takes the strings for numerals.
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

/** Returns the value with numbers in place of the marks, which it changes where they are. */
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

/** Throws JsonError beyond PostgreSQL's bounds of a numeric, which a short numeral only leaves by its exponent. */
function refuseBeyondNumeric(numeral: string): void {
  if (numeral.length > maxFractionDigits || /[eE]/.test(numeral)) canonicalNumber(numeral);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

/**
 * Returns a spelling of the number that two numerals share exactly when they are equal as decimals:
 * `1`, `1.0` and `10e-1` all give `1e0`; zero of either sign is `0`.
 * Takes a JSON numeral. Throws JsonError beyond PostgreSQL's bounds of a numeric.
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
  // Not by a regular expression: looking for zeros at the end, it would try at every run of zeros on the way.
  let end = digits.length;
  while (digits.endsWith('0', end)) end--;
  return `${sign}${digits.slice(0, end)}e${lowest + digits.length - end}`;
}

const numeralParts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** Looks at the text and not at the value: what a duplicated key overrides counts as well, as it does for jsonb. */
function refuseUnstorable(text: string): void {
  if (!text.includes('\\u')) return;
  for (const [literal] of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
    const content = JSON.parse(literal) as string;
    if (content.includes('\0')) throw new JsonError('value', 'a string contains the NUL character (\\u0000)');
    if (!content.isWellFormed()) throw new JsonError('value', 'a string contains half of a surrogate pair');
  }
}
