/** Returns the text. Throws an Error if it is empty or contains a NUL. */
export function text(value: string): string {
  return matching(value, /^[^\0]+$/, 'not empty');
}

/**
 * Returns an address to listen on, without the brackets that a URL puts around IPv6. Throws as
 * `text` does.
 */
export function address(value: string): string {
  return text(value.replace(/^\[([\da-f:.%]+)\]$/i, '$1'));
}

/** Returns the text. Throws an Error that says what is allowed if the text does not match. */
export function matching(value: string, pattern: RegExp, allowed: string): string {
  if (pattern.test(value)) return value;
  throw new Error(`must be ${allowed}`);
}

/** Returns a reader that accepts these words only. The reader throws an Error that lists them. */
export function oneOf<Word extends string>(...words: Word[]): (value: string) => Word {
  return (value) => {
    const word = words.find((allowed) => allowed === value);
    if (word !== undefined) return word;
    throw new Error(`must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`);
  };
}

/**
 * Returns a reader of whole numbers from `min` to `max`. The reader throws an Error that names
 * these bounds.
 */
export function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    throw new Error(`must be a whole number from ${min} to ${max}, not '${value}'`);
  };
}

const milliseconds = new Map(Object.entries({ s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }));

/**
 * Returns the milliseconds of a duration such as `30d`. Throws an Error that explains the format.
 */
export function duration(value: string): number {
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(value) ?? [];
  const length = Number(number) * (milliseconds.get(unit) ?? 0);
  if (length > 0) return length;
  throw new Error(`must be a whole number above 0 followed by s, m, h or d, not '${value}'`);
}
