import { isObject, type JsonObject, parseJson } from '../../../db/json/json.ts';
import { Failure } from '../failure.ts';
import type { Exchange } from './exchange.ts';

/** A sandbox in a list. */
export type Item = JsonObject & { sandbox_id: string; metadata: JsonObject };

/** Other servers may allow metadata to nest deeper than Sandpit does. */
const maxDepth = 1000;

/** Returns the sandboxes of a list, with exact numbers. Throws Failure for any other answer. */
export function itemsOf(exchange: Exchange): Item[] {
  if (exchange.status !== 200) throw new Failure(exchange, '200 and a list of sandboxes');
  const body = bodyOf(exchange);
  if (!Array.isArray(body)) throw new Failure(exchange, 'a JSON array');
  if (!body.every(isItem)) throw new Failure(exchange, 'objects with a string `sandbox_id` and an object `metadata`');
  return body;
}

/** Returns the parsed body, with exact numbers. Throws Failure when it is not JSON. */
export function bodyOf(exchange: Exchange): unknown {
  try {
    return parseJson(exchange.body, maxDepth);
  } catch (error) {
    throw new Failure(exchange, 'a JSON body', (error as Error).message);
  }
}

function isItem(value: unknown): value is Item {
  return isObject(value) && typeof value.sandbox_id === 'string' && isObject(value.metadata);
}
