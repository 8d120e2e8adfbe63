/** A setting of the server: its names, what it means and what it may be. */
export type Setting<T> = {
  variable: string;
  flag: string;
  argument: string;
  help: string;
  fallback: T;
  /** Returns the value that the text stands for; throws an Error that says what is allowed. */
  read: (text: string) => T;
};

/** Returns the text. Throws an Error when it is empty or holds a NUL. */
export function text(value: string): string {
  return matching(value, /^[^\0]+$/, 'not empty');
}

/** Returns an address to listen on: of an IPv6 address in the brackets of a URL, what is in them. Throws as `text`. */
export function address(value: string): string {
  return text(value.replace(/^\[([\da-f:.%]+)\]$/i, '$1'));
}

/** Returns the text. Throws an Error that says what is allowed unless it matches. */
export function matching(value: string, pattern: RegExp, allowed: string): string {
  if (pattern.test(value)) return value;
  throw new Error(`must be ${allowed}`);
}

/** Returns a reader of whole numbers within bounds. It throws an Error that says what is allowed. */
export function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    throw new Error(`must be a whole number from ${min} to ${max}, not '${value}'`);
  };
}

const milliseconds = new Map(Object.entries({ s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }));

/** Returns milliseconds. Throws an Error that says what is allowed. */
export function duration(value: string): number {
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(value) ?? [];
  const length = Number(number) * (milliseconds.get(unit) ?? 0);
  if (length > 0) return length;
  throw new Error(`must be a whole number above 0 with s, m, h or d behind it, not '${value}'`);
}
