import { canonicalNumber, isObject, type Json, JsonError, type JsonObject } from './json.ts';

/**
 * What PostgreSQL's jsonb `@>` means (its documentation, 8.14.3, and JsonbDeepContains), for documents and filters
 * that are objects. The index knows every pair of a document, a pair being a path of keys and the scalar at its end.
 * Array positions don't count in a path, so a filter without arrays is answered by its pairs exactly; one with arrays
 * is checked against the document once more.
 */
export type Filter = {
  /** Every matching document has all of these. */
  pairs: string[];
  /** What candidates are checked against; null where having the pairs is enough. */
  recheck: JsonObject | null;
};

/** In UTF-16 units of JSON text; the contract's description names it. */
const maxMetadataLength = 65_536;

export function compileFilter(filter: JsonObject): Filter {
  return { pairs: pairsOf(filter), recheck: holdsArray(filter) ? filter : null };
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

/** Returns the document's pairs, each once. Throws JsonError on a number beyond PostgreSQL's range. */
export function pairsOf(document: JsonObject): string[] {
  const pairs = new Set<string>();
  collect(document, [], pairs);
  return [...pairs];
}

/** Returns whether `document @> filter`. */
export function contains(document: Json, filter: Json): boolean {
  if (Array.isArray(filter)) {
    return Array.isArray(document) && filter.every((wanted) => document.some((element) => contains(element, wanted)));
  }
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

/** A step into an array is the number 0, which no key can be. */
type Path = (string | 0)[];

function collect(value: Json, path: Path, pairs: Set<string>): void {
  if (isScalar(value)) {
    pairs.add(`${JSON.stringify(path)}=${scalarText(value)}`);
    return;
  }
  const isArray = Array.isArray(value);
  if (path.length > 0) pairs.add(`${JSON.stringify(path)}=${isArray ? '[]' : '{}'}`);
  if (isArray) for (const element of value) collect(element, [...path, 0], pairs);
  else for (const [key, member] of Object.entries(value)) collect(member, [...path, key], pairs);
}

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

function holdsArray(value: Json): boolean {
  return Array.isArray(value) || (isObject(value) && Object.values(value).some(holdsArray));
}
