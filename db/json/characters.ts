/** The code units of JSON's syntax. */
export const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = codesOf(
  '"',
  '\\',
  '[',
  ']',
  '{',
  '}',
);
export const [colon, comma, minus, plus, point, zero, nine] = codesOf(':', ',', '-', '+', '.', '0', '9');
export const [lowerE, upperE, lowerN, lowerT, lowerF] = codesOf('e', 'E', 'n', 't', 'f');
const [space, lineFeed, carriageReturn, tab] = codesOf(' ', '\n', '\r', '\t');

function codesOf<T extends string[]>(...characters: T): { [K in keyof T]: number } {
  return characters.map((character) => character.charCodeAt(0)) as { [K in keyof T]: number };
}

export function isDigit(code: number): boolean {
  return code >= zero && code <= nine;
}

export function isExponent(code: number): boolean {
  return code === lowerE || code === upperE;
}

/** Returns whether a character is JSON's white space. */
export function isBlank(code: number): boolean {
  return code === space || code === lineFeed || code === carriageReturn || code === tab;
}
