/**
 * Returns a value as JSON text in ASCII. E2B's Python client breaks lines at U+0085, U+2028 and
 * U+2029 as well, and then finds half a value.
 */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
