import type { Request } from 'express';
import { type Sent, SentNumber } from '../../../db/json/reader.ts';

declare global {
  namespace Express {
    interface Request {
      /** Reads the body once more, as it was sent: the validator adds the contract's defaults to `body`. */
      readSentBody?: (() => Sent) | undefined;
    }
  }
}

/** Returns the value at a place in the body as it was sent; undefined where nothing was sent. */
export function sentAt(req: Request, keys: (string | number)[]): Sent | undefined {
  const body = req.readSentBody?.();
  return body === undefined ? undefined : valueAt(body, keys);
}

/** Returns the value at a place in another; undefined where there is none. */
export function valueAt(whole: Sent, keys: (string | number)[]): Sent | undefined {
  let value: Sent | undefined = whole;
  for (const key of keys) {
    if (Array.isArray(value)) value = value[Number(key)];
    else value = value instanceof Map ? value.get(String(key)) : undefined;
  }
  return value;
}

/** Returns what was sent as a value of JavaScript, numbers as the nearest double. */
export function plainValue(value: Sent): unknown {
  if (value instanceof SentNumber) return Number(value.text);
  return mapped(value, plainValue);
}

/** Returns what was sent as JSON.stringify prints it in the way Python's `json` prints what it has read. */
export function printable(value: Sent): unknown {
  if (value instanceof SentNumber) return JSON.rawJSON(pythonNumber(value.text));
  return mapped(value, printable);
}

function mapped(value: Exclude<Sent, SentNumber>, map: (member: Sent) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, member]) => [key, map(member)]));
}

/** Python keeps whole numbers as they are and prints others as the shortest numeral that gives the same double. */
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
  const digits = sign + number.toFixed(Math.max(0, decimals(mantissa) - power));
  return digits.includes('.') ? digits : `${digits}.0`;
}

function decimals(mantissa: string): number {
  return mantissa.split('.')[1]?.length ?? 0;
}

/** Returns how much JSON text a value takes, or more than `most` as soon as it takes more. */
export function lengthOf(value: unknown, most: number): number {
  if (value instanceof SentNumber) return value.text.length;
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return String(value).length;
  let length = 2;
  for (const [key, member] of entriesOf(value)) {
    length += (typeof key === 'string' ? key.length + 3 : 1) + lengthOf(member, most - length);
    if (length > most) break;
  }
  return length;
}

function entriesOf(value: object): Iterable<[string | number, unknown]> {
  if (Array.isArray(value)) return value.entries();
  return value instanceof Map ? value : Object.entries(value);
}
