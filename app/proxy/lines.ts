/** Returns a text fit for a terminal and a line: control characters escaped, the rest cut after so many characters. */
export function printable(text: string, length = 300): string {
  const whole = text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return whole.length > length ? `${whole.slice(0, length)}...` : whole;
}
