export type JsonErrorKind = 'syntax' | 'depth' | 'value';

/** Text that is not JSON, nests too deep, or holds a value that jsonb refuses. */
export class JsonError extends Error {
  override name = 'JsonError';
  readonly kind: JsonErrorKind;
  /** Where in the text it went wrong, counted in code points from 0; null where no single place is wrong. */
  readonly position: number | null;

  constructor(kind: JsonErrorKind, message: string, position: number | null = null) {
    super(message);
    this.kind = kind;
    this.position = position;
  }
}

/** Returns how many code points come before a place that is counted in UTF-16 units. */
export function codePointsBefore(text: string, at: number): number {
  let count = at;
  for (let unit = 0; unit < at; unit++) {
    const code = text.charCodeAt(unit);
    // The second half of a surrogate pair.
    if (code >= 0xdc00 && code <= 0xdfff) count--;
  }
  return count;
}
