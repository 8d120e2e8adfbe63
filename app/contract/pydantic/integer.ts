/** Digits, optionally grouped by single underscores, and an optional fraction of zeros. */
const pydanticInteger = /^[+-]?\d+(?:_\d+)*(?:\.0+)?$/;

/**
 * The whitespace that Rust's `trim` strips: Unicode's White_Space. It has U+0085 and lacks U+FEFF.
 */
const outerWhitespace = /^[\p{White_Space}]+|[\p{White_Space}]+$/gu;

/** Pydantic refuses integers of more digits. */
const maxDigits = 4300;

/**
 * Returns the integer that pydantic 2 reads in a text, at most the largest double; null if it reads
 * none. ` 5 ` is 5; `1e2` and `0x10` are no integers.
 */
export function integerOf(text: string): number | null {
  const digits = digitsOf(text);
  if (digits === null || digits.length > maxDigits) return null;
  const largest = Number.MAX_VALUE;
  return Math.max(-largest, Math.min(largest, Number(digits)));
}

/** Returns whether a text is an integer that pydantic refuses because of its length. */
export function isTooLong(text: string): boolean {
  return (digitsOf(text)?.length ?? 0) > maxDigits;
}

/** Returns the sign and digits without leading zeros and underscores, which do not count. */
function digitsOf(text: string): string | null {
  const numeral = text.replace(outerWhitespace, '');
  if (!pydanticInteger.test(numeral)) return null;
  return numeral
    .replaceAll('_', '')
    .replace(/\..*/, '')
    .replace(/^([+-]?)0+(?=\d)/, '$1');
}
