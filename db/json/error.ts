export type JsonErrorKind = 'syntax' | 'depth' | 'value';

/**
 * A text is not JSON (`syntax`), nests too deep (`depth`), or has a value that jsonb refuses
 * (`value`).
 */
export class JsonError extends Error {
  override name = 'JsonError';
  readonly kind: JsonErrorKind;
  /** The position of the error in code points, from 0; null if no single position is wrong. */
  readonly position: number | null;

  constructor(kind: JsonErrorKind, message: string, position: number | null = null) {
    super(message);
    this.kind = kind;
    this.position = position;
  }
}

/** Converts a position in UTF-16 units to one in code points. */
export function codePointsBefore(text: string, at: number): number {
  let count = at;
  for (let unit = 0; unit < at; unit++) {
    const code = text.charCodeAt(unit);
    // A low surrogate is the second half of a pair.
    if (code >= 0xdc00 && code <= 0xdfff) count--;
  }
  return count;
}
