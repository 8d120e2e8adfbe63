import { readTime } from '../../../spec/time.ts';
import { startOf, toRfc3339, unixTime } from './datetime.ts';
import type { PydanticError } from './error.ts';

/** Returns the error for a text in which `readDatetime` reads no moment. */
export function datetimeError(text: string): PydanticError {
  if (unixTime.test(text) && isParsed(text)) return unixTimeError(text);
  const rfc3339 = toRfc3339(text);
  // The same date and time in the year 2000, a leap year, shows whether only the year is out of
  // range.
  const isYearWrong = rfc3339 !== null && dateError(text) === null && readTime(`2000${rfc3339.slice(4)}`) !== null;
  if (isYearWrong) return yearError(text.startsWith('9999') ? 10_000 : 0);
  return dateParsingError(dateError(text) ?? 'unexpected extra characters at the end of the input');
}

/** Pydantic reads a sign and 63 bits. */
function isParsed(text: string): boolean {
  const [digits = ''] = text.replace(/^[+-]/, '').split('.');
  return BigInt.asUintN(63, BigInt(digits)) === BigInt(digits);
}

function unixTimeError(text: string): PydanticError {
  const value = Number(text);
  if (value > 0) return dateParsingError('dates after 9999 are not supported as unix timestamps');
  if (value < startOf(0)) return dateParsingError('dates before 0000 are not supported as unix timestamps');
  return yearError(0);
}

const separator = 'invalid date separator, expected `-`';

/** Rules for the first ten bytes of a date, in the order in which pydantic checks them. */
const dateRules: [RegExp, string][] = [
  [/^.{10}/s, 'input is too short'],
  [/^\d{4}/, 'invalid character in year'],
  [/^.{4}-/s, separator],
  [/^.{5}\d\d/s, 'invalid character in month'],
  [/^.{7}-/s, separator],
  [/^.{8}\d\d/s, 'invalid character in day'],
  [/^.{5}(?:0[1-9]|1[0-2])/s, 'month value is outside expected range of 1-12'],
];

/** Returns the error in the date at the start of a text; null if the date is valid. */
function dateError(text: string): string | null {
  const date = Buffer.from(text.slice(0, 10)).toString('latin1');
  const broken = dateRules.find(([rule]) => !rule.test(date));
  if (broken) return broken[1];
  const [year, month, day] = date.slice(0, 10).split('-').map(Number) as [number, number, number];
  const daysInMonth = new Date(new Date(0).setUTCFullYear(year, month, 0)).getUTCDate();
  return day >= 1 && day <= daysInMonth ? null : 'day value is outside expected range';
}

function dateParsingError(error: string): PydanticError {
  return {
    type: 'datetime_from_date_parsing',
    msg: `Input should be a valid datetime or date, ${error}`,
    ctx: { error },
  };
}

function yearError(year: number): PydanticError {
  const error = `year ${year} is out of range`;
  return { type: 'datetime_parsing', msg: `Input should be a valid datetime, ${error}`, ctx: { error } };
}
