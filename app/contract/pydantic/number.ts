import { SentNumber } from '../../../db/json/reader.ts';

export function isNumber(value: unknown): value is number | SentNumber {
  return typeof value === 'number' || value instanceof SentNumber;
}

/** Returns the nearest double; infinity for a numeral that is too large. */
export function numberOf(value: number | SentNumber): number {
  return typeof value === 'number' ? value : Number(value.text);
}
