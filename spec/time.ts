/** Returns the current time in milliseconds since 1970. */
export type Clock = () => number;

export type Time = {
  /** whole milliseconds since 1970 */
  milliseconds: number;
  /** the rest of the fraction, from 0 to 999; digits after the sixth are dropped */
  microseconds: number;
};

const first = Date.parse('0001-01-01T00:00:00.000Z');
const last = Date.parse('9999-12-31T23:59:59.999Z');

const dateTime =
  /^(\d{4})-(0[1-9]|1[0-2])-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

/**
 * Parses an RFC 3339 `date-time`, in which a space may replace the `T`. Returns null if the text
 * is not one. Leap seconds are refused because they can't be stored, and times outside the years 1
 * to 9999 in UTC because RFC 3339 can't express them.
 */
export function readTime(text: string): Time | null {
  const found = dateTime.exec(text);
  if (!found) return null;
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours = 0, minutes = 0] = found;
  const midnight = midnightOf(Number(year), Number(month) - 1, Number(day));
  if (midnight === null) return null;
  const digits = fraction.slice(0, 6).padEnd(6, '0');
  const ofDay = (Number(hour) * 60 + Number(minute)) * 60_000 + Number(second) * 1000 + Number(digits.slice(0, 3));
  const local = midnight + ofDay;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  const milliseconds = sign === '-' ? local + offset : local - offset;
  return milliseconds < first || milliseconds > last ? null : { milliseconds, microseconds: Number(digits.slice(3)) };
}

/** Returns when a day began in UTC; null if the month has no such day. Months begin with 0. */
function midnightOf(year: number, month: number, day: number): number | null {
  const date = new Date(0);
  // Not Date.UTC, for which the years 0 to 99 are those after 1900.
  date.setUTCFullYear(year, month, day);
  return day > 0 && date.getUTCMonth() === month ? date.getTime() : null;
}

/** Returns the first whole millisecond since 1970 at or after a time. */
export function wholeMilliseconds({ milliseconds, microseconds }: Time): number {
  return milliseconds + (microseconds > 0 ? 1 : 0);
}

const dayMilliseconds = 86_400_000;
let cachedDay = Number.NaN;
let cachedDate = '';

/**
 * Returns a time in milliseconds since 1970 as Date.prototype.toISOString does, for example
 * `2026-01-31T10:30:00.000Z`. The text of the last date is cached: formatting the date takes most
 * of the time, and most times in a list share theirs.
 */
export function isoTime(milliseconds: number): string {
  const day = Math.floor(milliseconds / dayMilliseconds);
  if (day !== cachedDay) {
    cachedDate = new Date(milliseconds).toISOString().slice(0, -'10:30:00.000Z'.length);
    cachedDay = day;
  }
  const ofDay = milliseconds - day * dayMilliseconds;
  const seconds = Math.floor(ofDay / 1000);
  const rest = ofDay % 1000;
  return `${cachedDate}${twoDigits(Math.floor(seconds / 3600))}:${twoDigits(Math.floor(seconds / 60) % 60)}:${twoDigits(seconds % 60)}.${rest < 100 ? String(rest).padStart(3, '0') : rest}Z`;
}

/** Like `isoTime`; null stays null. */
export function isoTimeOrNull(milliseconds: number | null): string | null {
  return milliseconds === null ? null : isoTime(milliseconds);
}

function twoDigits(number: number): string {
  return number < 10 ? `0${number}` : `${number}`;
}

/** The contract's format `date-time`, as ajv takes it. */
export const dateTimeFormat = { type: 'string' as const, validate: (text: string) => readTime(text) !== null };
