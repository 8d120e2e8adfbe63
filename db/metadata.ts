import { hash } from 'node:crypto';
import { StoreError } from './errors.ts';
import { canonicalNumber, isObject, type Json, JsonError, type JsonObject, parseJson } from './json/json.ts';

/**
 * What PostgreSQL's jsonb `@>` means (its documentation, 8.14.3, and JsonbDeepContains), for documents and filters
 * that are objects. The index knows every pair of a document, a pair being a path of keys and the scalar at its end.
 * Array positions don't count in a path, so pairs can't tell whether they come from one element of an array or from
 * several: a filter with objects or arrays in an array is checked against the document once more.
 */
export type Filter = {
  document: JsonObject;
  /** Every matching document has all of these. */
  pairs: string[];
  /** Whether a document that has the pairs matches; otherwise it is checked against the filter's document. */
  isPairwise: boolean;
};

/** Matches every document. */
export const noFilter: Filter = { document: {}, pairs: [], isPairwise: true };

/** In UTF-16 units of JSON text; the contract's description names it. */
const maxMetadataLength = 65_536;

export function compileFilter(filter: JsonObject): Filter {
  // What holds something is an object or an array: only the empty ones need saying so.
  return { document: filter, pairs: collectPairs(filter, isEmpty), isPairwise: isPairwise(filter) };
}

/** Returns the metadata as the text to be stored. Throws JsonError when that is longer than allowed. */
export function metadataText(metadata: JsonObject): string {
  const text = JSON.stringify(metadata);
  if (text.length <= maxMetadataLength) return text;
  throw new JsonError(
    'value',
    `metadata takes ${text.length} characters as JSON, at most ${maxMetadataLength} are allowed`,
  );
}

/** Returns settings as the text to be stored. Throws StoreError `invalid` when they are too large or nest too deep. */
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

/** Documents with more pairs than this are not taken apart: writing them would hold others up. */
export const maxIndexedPairs = 256;

/**
 * Returns the document's pairs, each once, or null when there are more than the index takes.
 * Throws JsonError on a number beyond PostgreSQL's range.
 */
export function pairsOf(document: JsonObject): string[] | null {
  const pairs = collectPairs(document, () => true, maxIndexedPairs);
  return pairs.length > maxIndexedPairs ? null : pairs;
}

/** Returns the document's pairs, each once, however many. */
export function allPairsOf(document: JsonObject): string[] {
  return collectPairs(document, () => true);
}

/**
 * Returns the pairs below a value, not many more than `most` of them; of the objects and arrays in it, those that
 * `isTold` is true of have a pair as well.
 */
function collectPairs(whole: JsonObject, isTold: (value: Json) => boolean, most = Number.POSITIVE_INFINITY): string[] {
  const pairs = new Set<string>();
  const collect = (value: Json, path: string): void => {
    if (pairs.size > most) return;
    if (isScalar(value)) return void pairs.add(`${path}=${scalarText(value)}`);
    const isArray = Array.isArray(value);
    if (path !== '' && isTold(value)) pairs.add(`${path}=${isArray ? '[]' : '{}'}`);
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
 * A path is the JSON text of its keys, each followed by a comma; a step into an array is the number 0.
 * Of a long path the SHA-256 stands for it, or a long key would be repeated for every member below it.
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

/** Equal for equal scalars and no others. */
function scalarText(value: Scalar): string {
  if (typeof value === 'number') return canonicalNumber(String(value));
  if (JSON.isRawJSON(value)) return canonicalNumber(value.rawJSON);
  return JSON.stringify(value);
}

/** Whether having the filter's pairs is the same as containing it. */
function isPairwise(filter: Json): boolean {
  if (Array.isArray(filter)) return filter.every((element) => isScalar(element) || isEmpty(element));
  return !isObject(filter) || Object.values(filter).every(isPairwise);
}

function isEmpty(value: Json): boolean {
  return Object.keys(value as object).length === 0;
}
