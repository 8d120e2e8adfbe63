import { readTime, type Time } from '../../../spec/time.ts';

const dateTime = /^(\d{4}-\d\d-\d\d)(?:[Tt _](\d\d:\d\d)(:\d\d(?:[.,]\d+)?)?(?:([Zz])|([+\-\u2212]\d\d):?(\d\d))?)?$/;

export const unixTime = /^[+-]?\d+(?:\.\d*)?$/;

/** A Unix time further from zero is in milliseconds. */
const maxSeconds = 20_000_000_000;

/**
 * Returns the moment that pydantic 2 reads in the text of a `datetime`; null if it reads none. The
 * text is ISO 8601 or Unix time in seconds or milliseconds. ISO 8601 may lack the time (then it is
 * midnight), the seconds and the zone (then it is UTC). The years are 1 to 9999 in UTC.
 */
export function readDatetime(text: string): Time | null {
  if (unixTime.test(text)) return readUnixTime(text);
  const rfc3339 = toRfc3339(text);
  return rfc3339 === null || rfc3339.startsWith('0000') ? null : readTime(rfc3339);
}

/** The contract's format `pydantic-datetime` for ajv. */
export const datetimeFormat = { type: 'string' as const, validate: (text: string) => readDatetime(text) !== null };

/**
 * Returns the text with every part that RFC 3339 requires, or null. It does not check the ranges of
 * the numbers.
 */
export function toRfc3339(text: string): string | null {
  const parts = dateTime.exec(text);
  if (!parts) return null;
  const [, date, time = '00:00', seconds = ':00', , hours, minutes] = parts;
  const zone = hours === undefined ? 'Z' : `${hours.replace('\u2212', '-')}:${minutes}`;
  return `${date}T${time}${seconds.replace(',', '.')}${zone}`;
}

function readUnixTime(text: string): Time | null {
  const value = Number(text);
  const millisecondsPerUnit = Math.abs(value) > maxSeconds ? 1 : 1000;
  const whole = Math.floor(value);
  const microseconds = Math.round((value - whole) * millisecondsPerUnit * 1000);
  const milliseconds = whole * millisecondsPerUnit + Math.floor(microseconds / 1000);
  const isInRange = milliseconds >= startOf(1) && milliseconds < startOf(10_000);
  return isInRange ? { milliseconds, microseconds: microseconds % 1000 } : null;
}

/** Returns the start of a year in milliseconds since 1970. */
export function startOf(year: number): number {
  return new Date(0).setUTCFullYear(year, 0, 1);
}
