import type { Request } from 'express';
import { type Sent, SentNumber } from '../../db/json/reader.ts';

declare global {
  namespace Express {
    interface Request {
      /**
       * Parses the body again, as it was sent: the validator adds the contract's defaults to
       * `body`.
       */
      readSentBody?: (() => Sent) | undefined;
      /** The body as it was sent, without its Content-Encoding; undefined for none. */
      sentBytes?: Buffer | undefined;
    }
  }
}

/** Returns the value at a path of the body as it was sent; undefined if nothing was sent there. */
export function sentAt(req: Request, keys: (string | number)[]): Sent | undefined {
  const body = req.readSentBody?.();
  return body === undefined ? undefined : valueAt(body, keys);
}

/** Returns the value at a path inside another value; undefined if there is none. */
export function valueAt(whole: Sent, keys: (string | number)[]): Sent | undefined {
  let value: Sent | undefined = whole;
  for (const key of keys) {
    if (Array.isArray(value)) value = value[Number(key)];
    else value = value instanceof Map ? value.get(String(key)) : undefined;
  }
  return value;
}

/** Returns a plain JavaScript value; numbers become the nearest double. */
export function plainValue(value: Sent): unknown {
  if (value instanceof SentNumber) return Number(value.text);
  return mapMembers(value, plainValue);
}

/** Returns an array or object with `map` applied to each member; any other value as it is. */
export function mapMembers(value: Exclude<Sent, SentNumber>, map: (member: Sent) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, member]) => [key, map(member)]));
}
