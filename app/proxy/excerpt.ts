import { printable } from '../terminal/printable.ts';

/** Returns the text as one printable line, truncated to `length` characters. */
export function excerpt(text: string, length = 300): string {
  const whole = printable(text);
  return whole.length > length ? `${whole.slice(0, length)}...` : whole;
}
