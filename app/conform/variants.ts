import { isObject, type Json, type JsonObject } from '../../db/json.ts';

/** Returns filters that are like a document: parts of it, and parts of it changed where a server may go wrong. */
export function variants(document: JsonObject): JsonObject[] {
  const members = Object.entries(document).filter(([key]) => !key.startsWith('conform_'));
  const single = members.flatMap(([key, value]) => [
    ...[value, ...changes(value)].map((changed) => pair(key, changed)),
    pair(otherCase(key), value),
    ...(isObject(value) ? Object.entries(value).map(([inner, deep]) => pair(inner, deep)) : []),
  ]);
  const couples = members.slice(1).map(([key, value], index) => {
    const [before, earlier] = members[index] as [string, Json];
    return Object.fromEntries([
      [before, earlier],
      [key, value],
    ]);
  });
  return [...couples, ...single];
}

/** Returns filters with a member of each of two documents. */
export function mixtures(one: JsonObject, other: JsonObject): JsonObject[] {
  const own = (document: JsonObject) => Object.entries(document).filter(([key]) => !key.startsWith('conform_'));
  return own(one).flatMap(([key, value]) =>
    own(other)
      .filter(([theirs]) => theirs !== key)
      .map((member) => Object.fromEntries([[key, value], member])),
  );
}

/** By way of Object.fromEntries, which takes `__proto__` as any other name. */
function pair(key: string, value: Json): JsonObject {
  return Object.fromEntries([[key, value]]);
}

/** Returns values that are easily taken for this one, and parts of it. */
export function changes(value: Json): Json[] {
  if (typeof value === 'string') {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    const words: Json[] = value === 'true' ? [true] : value === 'false' ? [false] : value === 'null' ? [null] : [];
    const characters = [...value];
    const part = characters.slice(0, Math.ceil(characters.length / 2)).join('');
    return [otherCase(value), part, [value], ...(Number.isFinite(number) ? [number] : []), ...words];
  }
  if (typeof value === 'number')
    return [String(value), [value], value + 1, value === 1 || value === 0 ? value === 1 : null];
  if (typeof value === 'boolean') return [String(value), Number(value), !value];
  if (value === null) return ['null', 0, false];
  if (Array.isArray(value)) {
    const first = value.slice(0, 1);
    return [
      value.toReversed(),
      first,
      value.slice(1),
      [...value, ...first],
      [],
      ...first,
      ...first.map((x) => [x, 'conform']),
    ];
  }
  if (!isObject(value)) return [Number(value.rawJSON)];
  return [{}, ...Object.entries(value).map(([key, member]) => pair(key, member))];
}

function otherCase(text: string): string {
  return text === text.toUpperCase() ? text.toLowerCase() : text.toUpperCase();
}
