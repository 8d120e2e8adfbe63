import { isObject, type Json, type JsonObject } from '../../../db/json/json.ts';

/** Filters travel in a URL, so the suite keeps them shorter and flatter than metadata may be. */
export const maxFilterText = 2000;
const maxFilterDepth = 50;

/** Returns as many members of a document as fit into one filter. */
export function filterFor(document: JsonObject): JsonObject {
  let room = maxFilterText;
  const members = ownMembers(document).filter((member) => {
    const { length } = JSON.stringify(member);
    if (length > room) return false;
    room -= length;
    return true;
  });
  return Object.fromEntries(members);
}

/**
 * Returns filters that resemble a document: its members, alone and in pairs, as they are and with
 * small changes.
 */
export function variants(document: JsonObject): JsonObject[] {
  const members = ownMembers(document);
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

/** Returns filters with one member of each of two documents. */
export function combinations(one: JsonObject, other: JsonObject): JsonObject[] {
  return ownMembers(one).flatMap(([key, value]) =>
    ownMembers(other)
      .filter(([theirs]) => theirs !== key)
      .map((member) => Object.fromEntries([[key, value], member])),
  );
}

/** Returns the members that fit into a filter, without those that the run added. */
function ownMembers(document: JsonObject): [string, Json][] {
  return Object.entries(document).filter(([key, value]) => !key.startsWith('conform_') && fitsFilter([key, value]));
}

function fitsFilter(member: [string, Json]): boolean {
  return JSON.stringify(member).length <= maxFilterText && depthOf(member) <= maxFilterDepth;
}

function depthOf(value: Json): number {
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

/** Object.fromEntries treats `__proto__` like any other name. */
function pair(key: string, value: Json): JsonObject {
  return Object.fromEntries([[key, value]]);
}

/** Returns values that a server may confuse with this one, and parts of it. */
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
