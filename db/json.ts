/**
 * JSON as PostgreSQL's jsonb takes it: numbers keep their exact decimal value, of a duplicated key the last value
 * counts, NUL characters and lone surrogates are refused.
 */
declare global {
  // ECMAScript's "JSON.parse source text access" (stage 4), in Node since 21; TypeScript 5.9 doesn't describe it yet.
  interface JSON {
    parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
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

export type JsonErrorKind = 'syntax' | 'depth' | 'value';

/** Text that is not JSON, nests too deep, or holds a value that jsonb refuses. */
export class JsonError extends Error {
  override name = 'JsonError';
  readonly kind: JsonErrorKind;
  /** Where in the text it went wrong, counted in UTF-16 units from 0; null where the parser doesn't say. */
  readonly position: number | null;

  constructor(kind: JsonErrorKind, message: string, position: number | null = null) {
    super(message);
    this.kind = kind;
    this.position = position;
  }
}

/**
 * Returns the value that the text stands for, which may nest `depth` levels deep. Print it with JSON.stringify.
 * Throws JsonError.
 */
export function parseJson(text: string, depth = maxDepth): Json {
  refuseDeep(text, depth);
  try {
    const value = (mayNeedCare.test(text) ? JSON.parse(text, exactly) : JSON.parse(text)) as Json;
    refuseUnstorable(text);
    return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new JsonError('syntax', error.message, positionIn(error.message, text));
  }
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

/** Numbers with a fraction, an exponent or sixteen digits may not fit a double. */
const mayNeedCare = /(?:^|["\s]:|[,[])\s*-?(?:\d{16}|\d+[.eE])/;

function exactly(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined) return value;
  const printed = Number.isFinite(value) ? canonicalNumber(String(value)) : null;
  return canonicalNumber(source) === printed ? value : JSON.rawJSON(source);
}

/** Looks at the text and not at the value: what a duplicated key overrides counts as well, as it does for jsonb. */
function refuseUnstorable(text: string): void {
  if (!text.includes('\\u')) return;
  for (const [literal] of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
    const content = JSON.parse(literal) as string;
    if (content.includes('\0')) throw new JsonError('value', 'a string contains the NUL character (\\u0000)');
    if (!content.isWellFormed()) throw new JsonError('value', 'a string contains half of a surrogate pair');
  }
}

/** The native parser has no depth limit, and everything that walks its result recurses. */
function refuseDeep(text: string, maximum: number): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) inString = !inString;
    else if (inString) at += code === backslash ? 1 : 0;
    else if (code === openBracket || code === openBrace) {
      if (++depth > maximum) throw new JsonError('depth', `nested more than ${maximum} levels deep`, at);
    } else if (code === closeBracket || code === closeBrace) depth--;
  }
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [...'"\\[]{}'].map((c) => c.charCodeAt(0));

function positionIn(message: string, text: string): number | null {
  if (message === 'Unexpected end of JSON input') return text.length;
  const [, position] = /at position (\d+)/.exec(message) ?? [];
  return position === undefined ? null : Number(position);
}
