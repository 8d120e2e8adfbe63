import { readTime, type Time } from '../../../spec/time.ts';
import type { Words } from './words.ts';

const dateTime = /^(\d{4}-\d\d-\d\d)(?:[Tt _](\d\d:\d\d)(:\d\d(?:[.,]\d+)?)?(?:([Zz])|([+\-\u2212]\d\d):?(\d\d))?)?$/;

const unixTime = /^[+-]?\d+(?:\.\d*)?$/;

/** Beyond so many, a Unix time is in milliseconds. */
const maxSeconds = 20_000_000_000;

/**
 * Returns the moment that pydantic 2 reads in the text of a `datetime`, or null where it reads none: ISO 8601, where the
 * time, the seconds and the zone may be left out (then it is midnight and UTC), or Unix time in seconds or milliseconds.
 * A moment outside the years 1 to 9999 in UTC is refused as well.
 */
export function readDatetime(text: string): Time | null {
  if (unixTime.test(text)) return unixTimeOf(text);
  const iso = isoOf(text);
  return iso === null || iso.startsWith('0000') ? null : readTime(iso);
}

/** The contract's format `pydantic-datetime`, as ajv takes it. */
export const datetimeFormat = { type: 'string' as const, validate: (text: string) => readDatetime(text) !== null };

/** Returns the words for a text in which `readDatetime` reads no moment. */
export function badDatetime(text: string): Words {
  if (unixTime.test(text) && isParsed(text)) return badUnixTime(text);
  const iso = isoOf(text);
  // In a leap year that is no edge, every day and time that can be right is right.
  const isOutside = iso !== null && dateError(text) === null && readTime(`2000${iso.slice(4)}`) !== null;
  if (isOutside) return yearOutside(text.startsWith('9999') ? 10_000 : 0);
  return notFromDate(dateError(text) ?? 'unexpected extra characters at the end of the input');
}

/** Returns the text with all that RFC 3339 wants, or null. The ranges of its numbers are not checked. */
function isoOf(text: string): string | null {
  const parts = dateTime.exec(text);
  if (!parts) return null;
  const [, date, time = '00:00', seconds = ':00', , hours, minutes] = parts;
  const zone = hours === undefined ? 'Z' : `${hours.replace('\u2212', '-')}:${minutes}`;
  return `${date}T${time}${seconds.replace(',', '.')}${zone}`;
}

function unixTimeOf(text: string): Time | null {
  const value = Number(text);
  const perUnit = Math.abs(value) > maxSeconds ? 1 : 1000;
  const whole = Math.floor(value);
  const microseconds = Math.round((value - whole) * perUnit * 1000);
  const milliseconds = whole * perUnit + Math.floor(microseconds / 1000);
  const isInside = milliseconds >= firstOf(1) && milliseconds < firstOf(10_000);
  return isInside ? { milliseconds, microseconds: microseconds % 1000 } : null;
}

/** Returns the milliseconds since 1970 at which a year begins. */
function firstOf(year: number): number {
  return new Date(0).setUTCFullYear(year, 0, 1);
}

/** Pydantic reads a sign and 63 bits. */
function isParsed(text: string): boolean {
  const [digits = ''] = text.replace(/^[+-]/, '').split('.');
  return BigInt.asUintN(63, BigInt(digits)) === BigInt(digits);
}

function badUnixTime(text: string): Words {
  const value = Number(text);
  if (value > 0) return notFromDate('dates after 9999 are not supported as unix timestamps');
  if (value < firstOf(0)) return notFromDate('dates before 0000 are not supported as unix timestamps');
  return yearOutside(0);
}

const separator = 'invalid date separator, expected `-`';

/** What the first ten bytes of a date are, in the order in which pydantic looks at them. */
const dateRules: [RegExp, string][] = [
  [/^.{10}/s, 'input is too short'],
  [/^\d{4}/, 'invalid character in year'],
  [/^.{4}-/s, separator],
  [/^.{5}\d\d/s, 'invalid character in month'],
  [/^.{7}-/s, separator],
  [/^.{8}\d\d/s, 'invalid character in day'],
  [/^.{5}(?:0[1-9]|1[0-2])/s, 'month value is outside expected range of 1-12'],
];

/** Returns what is wrong with the date that a text begins with; null where it is one. */
function dateError(text: string): string | null {
  const date = Buffer.from(text.slice(0, 10)).toString('latin1');
  const broken = dateRules.find(([rule]) => !rule.test(date));
  if (broken) return broken[1];
  const [year, month, day] = date.slice(0, 10).split('-').map(Number) as [number, number, number];
  const daysInMonth = new Date(new Date(0).setUTCFullYear(year, month, 0)).getUTCDate();
  return day >= 1 && day <= daysInMonth ? null : 'day value is outside expected range';
}

function notFromDate(error: string): Words {
  return {
    type: 'datetime_from_date_parsing',
    msg: `Input should be a valid datetime or date, ${error}`,
    ctx: { error },
  };
}

function yearOutside(year: number): Words {
  const error = `year ${year} is out of range`;
  return { type: 'datetime_parsing', msg: `Input should be a valid datetime, ${error}`, ctx: { error } };
}
