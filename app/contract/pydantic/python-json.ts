import { type Sent, SentNumber } from '../../../db/json/reader.ts';
import { mapMembers } from '../sent-values.ts';

/**
 * Returns a value for JSON.stringify, which then prints it as Python's `json` prints what it has
 * read.
 */
export function asPythonJson(value: Sent): unknown {
  if (value instanceof SentNumber) return JSON.rawJSON(pythonNumber(value.text));
  return mapMembers(value, asPythonJson);
}

/**
 * Python keeps whole numbers as written, and prints others as the shortest numeral of the same
 * double.
 */
function pythonNumber(text: string): string {
  const isWhole = !/[.eE]/.test(text);
  const number = Number(text);
  if (isWhole || !Number.isFinite(number)) return text === '-0' ? '0' : text;
  const [mantissa = '', exponent = '0'] = number.toExponential().split('e');
  const power = Number(exponent);
  const sign = Object.is(number, -0) ? '-' : '';
  if (power < -4 || power >= 16) {
    return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  const digits = sign + number.toFixed(Math.max(0, decimalsOf(mantissa) - power));
  return digits.includes('.') ? digits : `${digits}.0`;
}

function decimalsOf(mantissa: string): number {
  return mantissa.split('.')[1]?.length ?? 0;
}
