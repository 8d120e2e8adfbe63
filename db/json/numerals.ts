import {
  backslash,
  closeBrace,
  closeBracket,
  colon,
  isBlank,
  isDigit,
  isExponent,
  minus,
  openBrace,
  openBracket,
  plus,
  point,
  quote,
} from './characters.ts';
import { codePointsBefore, JsonError } from './error.ts';

/** The range of a numeral in a text: [from, to). */
export type Span = [from: number, to: number];

/**
 * Returns, in one pass, the numerals of a JSON text that a double may not hold exactly.
 * Throws JsonError if arrays and objects nest deeper than `maxDepth`: the native parser has no
 * limit, but code that walks its result recurses. For text that is not JSON the result is
 * meaningless.
 */
export function longNumerals(text: string, maxDepth: number): Span[] {
  const found: Span[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = endOfString(text, at);
    else if (code === openBracket || code === openBrace) {
      if (++depth > maxDepth) throw tooDeep(text, maxDepth, at);
    } else if (code === closeBracket || code === closeBrace) depth--;
    else if (isOfNumeral(code)) {
      const end = endOfNumeral(text, at);
      if (!fitsDouble(text, at, end) && isNumeral(text, at, end)) found.push([at, end]);
      at = end - 1;
    }
  }
  return found;
}

function tooDeep(text: string, maxDepth: number, at: number): JsonError {
  return new JsonError('depth', `nested more than ${maxDepth} levels deep`, codePointsBefore(text, at));
}

/**
 * Returns the position of the quote that closes the string starting at `at`, or the end of the
 * text.
 */
function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === quote) return end;
    if (code === backslash) end++;
  }
  return text.length;
}

function endOfNumeral(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && (isOfNumeral(text.charCodeAt(end)) || isExponent(text.charCodeAt(end)))) end++;
  return end;
}

/** A double keeps 15 digits (C's DBL_DIG), except near the ends of its range. */
function fitsDouble(text: string, from: number, to: number): boolean {
  let digits = 0;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (isDigit(code)) digits++;
    else if (isExponent(code)) return digits <= 15 && Math.abs(Number(text.slice(at + 1, to))) <= 290;
  }
  return digits <= 15;
}

/**
 * Leaves out numerals that print as they were written, and those before a colon: such a text is
 * not JSON.
 */
function isNumeral(text: string, from: number, to: number): boolean {
  const numeral = text.slice(from, to);
  return jsonNumeral.test(numeral) && String(Number(numeral)) !== numeral && !isBeforeColon(text, to);
}

const jsonNumeral = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function isBeforeColon(text: string, at: number): boolean {
  let next = at;
  while (isBlank(text.charCodeAt(next))) next++;
  return text.charCodeAt(next) === colon;
}

function isOfNumeral(code: number): boolean {
  return isDigit(code) || code === minus || code === plus || code === point;
}
