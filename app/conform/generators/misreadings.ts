import { isObject, type Json, type JsonObject } from '../../../db/json/json.ts';
import { contains } from '../../../db/metadata.ts';

/*
 * Ways in which servers misread `@>`. Each is the correct comparison with one difference, so that a
 * rule can tell which filters reveal it.
 */

/** A way to read filters: returns whether a document matches one. */
export type Reading = (document: Json, filter: Json) => boolean;

type Inner<T> = (document: T, filter: T, inner: Reading) => boolean;
/** How a reading differs from `@>`, by the kind of the two values. */
type Differences = {
  scalars?: Reading;
  arrays?: Inner<Json[]>;
  objects?: Inner<JsonObject>;
  /** For two values of different kinds. */
  mixed?: Inner<Json>;
};

/** Returns a reading that is `@>` with these differences. */
export function reading({ scalars = contains, arrays = allIn, objects = allMembers, mixed }: Differences): Reading {
  const inner: Reading = (document, filter) => {
    if (Array.isArray(document) && Array.isArray(filter)) return arrays(document, filter, inner);
    if (isObject(document) && isObject(filter)) return objects(document, filter, inner);
    if (isScalar(document) && isScalar(filter)) return scalars(document, filter);
    return mixed?.(document, filter, inner) ?? false;
  };
  return inner;
}

export function isScalar(value: Json): boolean {
  return !Array.isArray(value) && !isObject(value);
}

/** Whether two values are equal; the order of arrays matters. */
export function equalJson(a: Json, b: Json): boolean {
  return exactly(a, b) && exactly(b, a);
}

const exactly = reading({
  arrays: (d, f, inner) => d.length === f.length && f.every((x, i) => inner(d[i] as Json, x)),
});

function allIn(document: Json[], filter: Json[], inner: Reading): boolean {
  return filter.every((wanted) => document.some((element) => inner(element, wanted)));
}

function allMembers(document: JsonObject, filter: JsonObject, inner: Reading): boolean {
  return Object.entries(filter).every(([key, wanted]) => {
    const found = member(document, key);
    return found !== undefined && inner(found, wanted);
  });
}

function member(document: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(document, key) ? document[key] : undefined;
}

const strings = (compare: (document: string, filter: string) => boolean): Reading =>
  reading({ scalars: (d, f) => (typeof d === 'string' && typeof f === 'string' ? compare(d, f) : contains(d, f)) });

export const always: Reading = () => true;
export const anyPair: Reading = (d, f) => Object.entries(f as JsonObject).some(([key, x]) => contains(d, { [key]: x }));
export const foldedValues = strings((d, f) => d.toLowerCase() === f.toLowerCase());
export const partOfText = strings((d, f) => d.includes(f));
export const normalizedText = strings((d, f) => d.normalize('NFC') === f.normalize('NFC'));
export const wildcards = strings((d, f) => new RegExp(`^${likePattern(f)}$`, 's').test(d));
export const numbersAsText = asText((value) => typeof value === 'number' || JSON.isRawJSON(value));
export const booleansAsText = asText((value) => typeof value === 'boolean');
export const nullAsText = asText((value) => value === null);
export const truthAsNumber = reading({ scalars: (d, f) => truthNumber(d) === truthNumber(f) });
export const doubles = reading({ scalars: (d, f) => double(d) === double(f) });

export const foldedKeys = reading({
  objects: (d, f, inner) =>
    Object.entries(f).every(([key, x]) =>
      Object.entries(d).some(([own, y]) => own.toLowerCase() === key.toLowerCase() && inner(y, x)),
    ),
});
export const nullIsMissing = reading({
  objects: (d, f, inner) =>
    Object.entries(f).every(([key, x]) => {
      const found = member(d, key) ?? null;
      return x === null ? found === null : inner(found, x);
    }),
});
export const topLevelOnly: Reading = (d, f) =>
  contains(d, Object.fromEntries(members(f).filter(([, x]) => isScalar(x))));
export const nestedWhole: Reading = (d, f) =>
  members(f).every(([key, x]) =>
    isObject(x) ? equalJson(member(d as JsonObject, key) ?? null, x) : contains(d, { [key]: x }),
  );
export const anyDepth: Reading = (d, f) => members(f).every(([key, x]) => hasSomewhere(d, { [key]: x }));
export const dottedPaths: Reading = (d, f) =>
  members(f).every(([key, x]) => contains(d, { [key]: x }) || contains(d, nestedAt(key.split('.'), x)));

export const arraysWhole = reading({ arrays: equalJson });
export const arraysInPlace = reading({
  arrays: (d, f, inner) => f.every((x, i) => i < d.length && inner(d[i] as Json, x)),
});
export const arraysNotLonger = reading({ arrays: (d, f, inner) => f.length <= d.length && allIn(d, f, inner) });
export const anyElement = reading({ arrays: (d, f, inner) => f.some((x) => d.some((y) => inner(y, x))) });
export const scalarInArray = reading({
  mixed: (d, f, inner) =>
    Array.isArray(d) && isScalar(f) ? d.some((y) => inner(y, f)) : Array.isArray(f) && f.every((x) => inner(d, x)),
});
export const elementsWhole = reading({ arrays: (d, f) => f.every((x) => d.some((y) => equalJson(y, x))) });
export const elementsJoined = reading({
  arrays: (d, f, inner) =>
    f.every((x) =>
      isObject(x)
        ? Object.entries(x).every(([key, y]) => d.some((element) => inner(element, { [key]: y })))
        : d.some((element) => inner(element, x)),
    ),
});
export const flattened = reading({
  arrays: (d, f, inner) => allIn(d.flat(9) as Json[], f.flat(9) as Json[], inner),
});
export const emptyIsNothing: Reading = (d, f) =>
  contains(d, Object.fromEntries(members(f).filter(([, x]) => !isEmpty(x))));

function text(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function asText(isMeant: (value: Json) => boolean): Reading {
  return reading({ scalars: (d, f) => contains(d, f) || ([d, f].some(isMeant) && text(d) === text(f)) });
}

function members(value: Json): [string, Json][] {
  return Object.entries(value as JsonObject);
}

function isEmpty(value: Json): boolean {
  return !isScalar(value) && Object.keys(value as object).length === 0;
}

function truthNumber(value: Json): Json {
  return typeof value === 'boolean' ? Number(value) : value;
}

function double(value: Json): Json {
  return JSON.isRawJSON(value) ? Number(value.rawJSON) : value;
}

function hasSomewhere(document: Json, pair: JsonObject): boolean {
  if (isScalar(document)) return false;
  return contains(document, pair) || Object.values(document as JsonObject).some((value) => hasSomewhere(value, pair));
}

function nestedAt(path: string[], value: Json): JsonObject {
  return path.reduceRight<Json>((inner, key) => ({ [key]: inner }), value) as JsonObject;
}

function likePattern(filter: string): string {
  return filter
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
}
