/**
 * What moves the cursor, changes colours or breaks a line (C0, DEL, C1, U+2028, U+2029), what turns the direction of text
 * (Unicode Standard Annex 9), and halves of surrogate pairs.
 */
const steering = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/gu;

/**
 * Returns a text that can't steer a terminal: each such character is written as `\\u001b`. JSON stays the same JSON. Line
 * breaks stay where `lines` are wanted.
 */
export function printable(text: string, { lines = false } = {}): string {
  return text.replace(steering, (character) =>
    lines && character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Returns a value as a line of JSON that can't steer a terminal. */
export function jsonLine(value: unknown): string {
  return `${printable(JSON.stringify(value))}\n`;
}
