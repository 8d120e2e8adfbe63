import { printable } from '../terminal/printable.ts';

/** Returns a text fit for a line on a terminal, cut after so many characters. */
export function excerpt(text: string, length = 300): string {
  const whole = printable(text);
  return whole.length > length ? `${whole.slice(0, length)}...` : whole;
}
