import {
  backslash,
  closeBrace,
  closeBracket,
  colon,
  comma,
  isBlank,
  isDigit,
  isExponent,
  lowerF,
  lowerN,
  lowerT,
  openBrace,
  openBracket,
  point,
  quote,
  zero,
} from './characters.ts';
import { codePointsBefore, JsonError } from './error.ts';

/** JSON as it was sent: members in their order, numerals as they were written. */
export type Sent = null | boolean | number | string | SentNumber | Sent[] | SentObject;
export type SentObject = Map<string, Sent>;

/** Any numeral but a short integer. */
export class SentNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Parses a JSON text and keeps it as it was sent; the last of duplicate members counts. It is
 * slower than JSON.parse and recurses without a limit: use it for texts that parseJson has
 * checked.
 * Throws JsonError with the message and position of Python's `json` (CPython 3.11,
 * Modules/_json.c), but refuses NaN and Infinity, which Python accepts.
 */
export function readJson(text: string): Sent {
  const reader = new JsonReader(text);
  reader.skipBlanks();
  const value = reader.readValue();
  reader.skipBlanks();
  if (!reader.isAtEnd) throw reader.error('Extra data');
  return value;
}

const numeral = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** An integer of up to this many digits becomes a number: it prints as it was written. */
const maxPlainDigits = 15;

class JsonReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  error(message: string, at = this.#at): JsonError {
    return new JsonError('syntax', message, codePointsBefore(this.#text, at));
  }

  skipBlanks(): void {
    while (isBlank(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  readValue(): Sent {
    switch (this.#text.charCodeAt(this.#at)) {
      case quote:
        return this.#readString();
      case openBrace:
        return this.#readObject();
      case openBracket:
        return this.#readArray();
      case lowerN:
        return this.#readWord('null', null);
      case lowerT:
        return this.#readWord('true', true);
      case lowerF:
        return this.#readWord('false', false);
      default:
        return this.#readNumber();
    }
  }

  #readWord(word: string, value: null | boolean): null | boolean {
    if (!this.#text.startsWith(word, this.#at)) throw this.error('Expecting value');
    this.#at += word.length;
    return value;
  }

  /** Skips the character if it is next. Returns whether it was. */
  #takes(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  #readNumber(): Sent {
    const value = this.#readDigits();
    if (value !== null) return value;
    numeral.lastIndex = this.#at;
    const text = numeral.exec(this.#text)?.[0];
    if (text === undefined) throw this.error('Expecting value');
    this.#at += text.length;
    return new SentNumber(text);
  }

  /** Reads a short unsigned integer. Returns null and reads nothing if there is anything else. */
  #readDigits(): number | null {
    let value = 0;
    let at = this.#at;
    for (; at - this.#at < maxPlainDigits; at++) {
      const digit = this.#text.charCodeAt(at) - zero;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
      if (value === 0) {
        at++;
        break;
      }
    }
    if (at === this.#at || goesOn(this.#text.charCodeAt(at))) return null;
    this.#at = at;
    return value;
  }

  #readArray(): Sent[] {
    const items: Sent[] = [];
    this.#at++;
    this.skipBlanks();
    if (this.#takes(closeBracket)) return items;
    do {
      this.skipBlanks();
      items.push(this.readValue());
      this.skipBlanks();
    } while (this.#takes(comma));
    if (this.#takes(closeBracket)) return items;
    throw this.error("Expecting ',' delimiter");
  }

  #readObject(): SentObject {
    const members: SentObject = new Map();
    this.#at++;
    this.skipBlanks();
    if (this.#takes(closeBrace)) return members;
    do {
      this.skipBlanks();
      if (this.#text.charCodeAt(this.#at) !== quote) {
        throw this.error('Expecting property name enclosed in double quotes');
      }
      const key = this.#readString();
      this.skipBlanks();
      if (!this.#takes(colon)) throw this.error("Expecting ':' delimiter");
      this.skipBlanks();
      members.set(key, this.readValue());
      this.skipBlanks();
    } while (this.#takes(comma));
    if (this.#takes(closeBrace)) return members;
    throw this.error("Expecting ',' delimiter");
  }

  #readString(): string {
    const begin = this.#at;
    let hasEscape = false;
    for (this.#at++; !this.isAtEnd; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === quote) {
        const literal = this.#text.slice(begin, ++this.#at);
        return hasEscape ? JSON.parse(literal) : literal.slice(1, -1);
      }
      if (code <= 0x1f) throw this.error('Invalid control character at');
      if (code !== backslash) continue;
      hasEscape = true;
      this.#checkEscape(begin);
    }
    throw this.error('Unterminated string starting at', begin);
  }

  /** Moves from a backslash to the last character of the escape. */
  #checkEscape(begin: number): void {
    const at = this.#at;
    const letter = this.#text[at + 1];
    if (letter === undefined) throw this.error('Unterminated string starting at', begin);
    if (letter === 'u') {
      // Python requires another character after the four digits.
      const isHex = /^[0-9a-fA-F]{4}$/.test(this.#text.slice(at + 2, at + 6));
      if (!isHex || at + 6 >= this.#text.length) throw this.error('Invalid \\uXXXX escape', at + 1);
      this.#at += 5;
      return;
    }
    if (!'"\\/bfnrt'.includes(letter)) throw this.error('Invalid \\escape', at);
    this.#at++;
  }
}

/** Returns whether a numeral continues after its leading digits. */
function goesOn(code: number): boolean {
  return isDigit(code) || isExponent(code) || code === point;
}
