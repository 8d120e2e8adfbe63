import { hash } from 'node:crypto';
import { StoreError } from './errors.ts';
import { canonicalNumber, isObject, type Json, JsonError, type JsonObject, parseJson } from './json/json.ts';

/**
 * Containment as PostgreSQL's jsonb `@>` defines it (its documentation, 8.14.3, and
 * JsonbDeepContains), for documents and filters that are objects. The index knows every pair of a
 * document. A pair is a path of keys and the scalar at its end. A path has no array positions, so
 * pairs don't show whether they come from one element of an array or from several: a filter with
 * objects or arrays inside an array is also checked against the document itself.
 */
export type Filter = {
  document: JsonObject;
  /** every matching document has all of these */
  pairs: string[];
  /**
   * whether every document that has the pairs matches; otherwise the document itself must be
   * checked
   */
  isPairwise: boolean;
};

/** Matches every document. */
export const noFilter: Filter = { document: {}, pairs: [], isPairwise: true };

/** In UTF-16 units of JSON text. The contract's description names the same limit. */
const maxMetadataLength = 65_536;

export function compileFilter(filter: JsonObject): Filter {
  // The pairs below an object or array imply it; only an empty one needs a pair of its own.
  return { document: filter, pairs: collectPairs(filter, isEmpty), isPairwise: isPairwise(filter) };
}

/** Returns metadata as the text to store. Throws JsonError when it is too long. */
export function metadataText(metadata: JsonObject): string {
  const text = JSON.stringify(metadata);
  if (text.length <= maxMetadataLength) return text;
  throw new JsonError(
    'value',
    `metadata takes ${text.length} characters as JSON, at most ${maxMetadataLength} are allowed`,
  );
}

/**
 * Returns settings as the text to store. Throws StoreError `invalid` when they are too long or
 * nest too deep.
 */
export function settingsText(settings: JsonObject): string {
  const text = JSON.stringify(settings);
  if (text.length > maxMetadataLength) {
    throw new StoreError(
      'invalid',
      `the settings take ${text.length} characters, at most ${maxMetadataLength} are allowed`,
    );
  }
  try {
    parseJson(text);
  } catch (error) {
    throw new StoreError('invalid', `the settings: ${(error as Error).message}`, { cause: error });
  }
  return text;
}

/**
 * The index leaves out the pairs of a document with more than this: writing them would block other
 * requests.
 */
export const maxIndexedPairs = 256;

/**
 * Returns the document's distinct pairs, or null if there are more than `maxIndexedPairs`.
 * Throws JsonError on a number beyond PostgreSQL's range.
 */
export function pairsOf(document: JsonObject): string[] | null {
  const pairs = collectPairs(document, () => true, maxIndexedPairs);
  return pairs.length > maxIndexedPairs ? null : pairs;
}

/** Returns all of the document's distinct pairs. */
export function allPairsOf(document: JsonObject): string[] {
  return collectPairs(document, () => true);
}

/**
 * Returns the distinct pairs of a document, stopping soon after `most`. Objects and arrays for
 * which `hasPair` is true get a pair of their own.
 */
function collectPairs(whole: JsonObject, hasPair: (value: Json) => boolean, most = Number.POSITIVE_INFINITY): string[] {
  const pairs = new Set<string>();
  const collect = (value: Json, path: string): void => {
    if (pairs.size > most) return;
    if (isScalar(value)) return void pairs.add(`${path}=${scalarText(value)}`);
    const isArray = Array.isArray(value);
    if (path !== '' && hasPair(value)) pairs.add(`${path}=${isArray ? '[]' : '{}'}`);
    if (isArray) for (const element of value) collect(element, stepInto(path, 0));
    else for (const [key, member] of Object.entries(value)) collect(member, stepInto(path, key));
  };
  collect(whole, '');
  return [...pairs];
}

/** Returns whether `document @> filter`. */
export function contains(document: Json, filter: Json): boolean {
  if (Array.isArray(filter)) return Array.isArray(document) && containsElements(document, filter);
  if (isObject(filter)) {
    return (
      isObject(document) &&
      Object.entries(filter).every(([key, wanted]) => {
        const found = Object.hasOwn(document, key) ? document[key] : undefined;
        return found !== undefined && contains(found, wanted);
      })
    );
  }
  return isScalar(document) && scalarText(document) === scalarText(filter);
}

function containsElements(document: Json[], filter: Json[]): boolean {
  const scalars = new Set(document.filter(isScalar).map(scalarText));
  return filter.every((wanted) =>
    isScalar(wanted) ? scalars.has(scalarText(wanted)) : document.some((element) => contains(element, wanted)),
  );
}

/**
 * Returns the path of a member. A path is the JSON text of its keys, each followed by a comma; a
 * step into an array is the number 0. A long path is replaced by its SHA-256, so that a long key
 * is not repeated for every member below it.
 */
function stepInto(path: string, step: string | 0): string {
  const longer = `${path}${JSON.stringify(step)},`;
  return longer.length <= maxPathLength ? longer : `#${hash('sha256', longer, 'hex')}`;
}

const maxPathLength = 200;

type Scalar = Exclude<Json, Json[] | JsonObject>;

function isScalar(value: Json): value is Scalar {
  return typeof value !== 'object' || value === null || JSON.isRawJSON(value);
}

/** Returns a text that two scalars share exactly when they are equal. */
function scalarText(value: Scalar): string {
  if (typeof value === 'number') return canonicalNumber(String(value));
  if (JSON.isRawJSON(value)) return canonicalNumber(value.rawJSON);
  return JSON.stringify(value);
}

/** Returns whether a document contains the filter exactly when it has the filter's pairs. */
function isPairwise(filter: Json): boolean {
  if (Array.isArray(filter)) return filter.every((element) => isScalar(element) || isEmpty(element));
  return !isObject(filter) || Object.values(filter).every(isPairwise);
}

function isEmpty(value: Json): boolean {
  return Object.keys(value as object).length === 0;
}
