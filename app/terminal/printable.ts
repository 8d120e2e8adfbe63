/**
 * Characters that move the cursor, change colours or break a line (C0, DEL, C1, U+2028, U+2029),
 * characters that change the direction of text (Unicode Standard Annex 9), and lone surrogates.
 */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/gu;

/**
 * Returns a text that cannot control a terminal: unprintable characters become escapes such as
 * `\\u001b`. A JSON text keeps its value. With `lines`, line breaks stay.
 */
export function printable(text: string, { lines = false } = {}): string {
  return text.replace(unprintable, (character) =>
    lines && character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Returns a value as a line of JSON that cannot control a terminal. */
export function jsonLine(value: unknown): string {
  return `${printable(JSON.stringify(value))}\n`;
}
