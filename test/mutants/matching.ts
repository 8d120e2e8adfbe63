import { everything, json, limitOf, type Mutant } from './mutant.ts';

export type Value = unknown;
export type Pairs = Record<string, Value>;
export type Matches = (document: Value, filter: Value) => boolean;

/** Returns the answer of a server that filters by this function instead of the correct one. */
export function filtering(matches: (document: Pairs, filter: Pairs) => boolean): Mutant['answer'] {
  return async (call) => {
    const right = await call.ask();
    const text = call.query.get('metadata');
    if (right.status !== 200 || text === null) return right;
    const filter = JSON.parse(text);
    const found = (await everything(call)).filter(({ metadata }) =>
      matches(JSON.parse(JSON.stringify(metadata)), filter),
    );
    return json(200, found.slice(0, limitOf(call)));
  };
}

export const isPairs = (value: Value): value is Pairs =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const has = (pairs: Pairs, key: string) => Object.hasOwn(pairs, key);

export type Ways = {
  scalar?: Matches;
  array?: (d: Value[], f: Value[], all: Matches) => boolean;
  pairs?: (d: Pairs, f: Pairs, all: Matches) => boolean;
  other?: Matches;
};

/** Returns a filter that is correct except for the given parts. It treats numbers as doubles. */
export function right({ scalar = Object.is, array = subset, pairs = every, other = () => false }: Ways = {}): Matches {
  const all: Matches = (d, f) => {
    if (Array.isArray(f) && Array.isArray(d)) return array(d, f, all);
    if (isPairs(f) && isPairs(d)) return pairs(d, f, all);
    const areScalars = [d, f].every((value) => typeof value !== 'object' || value === null);
    return areScalars ? scalar(d, f) : other(d, f);
  };
  return all;
}

export function subset(d: Value[], f: Value[], all: Matches): boolean {
  return f.every((wanted) => d.some((element) => all(element, wanted)));
}

export function every(d: Pairs, f: Pairs, all: Matches): boolean {
  return Object.entries(f).every(([key, wanted]) => has(d, key) && all(d[key], wanted));
}

export const exact = right();
export const text = (way: (d: string, f: string) => boolean) =>
  right({ scalar: (d, f) => (typeof d === 'string' && typeof f === 'string' ? way(d, f) : Object.is(d, f)) });
export const kindless = (kinds: string[]) =>
  right({
    scalar: (d, f) =>
      Object.is(d, f) ||
      (String(d) === String(f) && [d, f].some((value) => kinds.includes(value === null ? 'null' : typeof value))),
  });
export const keyed = (lookUp: (d: Pairs, key: string, f: Value, all: Matches) => boolean) =>
  right({ pairs: (d, f, all) => Object.entries(f).every(([key, wanted]) => lookUp(d, key, wanted, all)) });
export const topPairs =
  (way: (d: Pairs, key: string, wanted: Value) => boolean): Matches =>
  (d, f) =>
    Object.entries(f as Pairs).every(([key, wanted]) => way(d as Pairs, key, wanted));

export function anywhere(d: Value, key: string, wanted: Value): boolean {
  if (typeof d !== 'object' || d === null) return false;
  return (
    (has(d as Pairs, key) && exact((d as Pairs)[key], wanted)) ||
    Object.values(d).some((inner) => anywhere(inner, key, wanted))
  );
}

export function like(d: string, f: string): boolean {
  if (f === '') return d === '';
  const [first, ...rest] = f;
  if (first === '%')
    return Array.from({ length: d.length + 1 }, (_, at) => d.slice(at)).some((end) => like(end, rest.join('')));
  return d !== '' && (first === '_' || d[0] === first) && like(d.slice(1), rest.join(''));
}

export function multiset(d: Value[], f: Value[], all: Matches): boolean {
  const left = [...d];
  return f.every((wanted) => {
    const at = left.findIndex((element) => all(element, wanted));
    return at >= 0 && left.splice(at, 1).length === 1;
  });
}

export function joinedElements(d: Value[], f: Value[], all: Matches): boolean {
  const merged = d.filter(isPairs).flatMap((pairs) => Object.entries(pairs));
  return f.every((wanted) =>
    isPairs(wanted)
      ? Object.entries(wanted).every(([key, value]) => merged.some(([own, found]) => own === key && all(found, value)))
      : d.some((element) => all(element, wanted)),
  );
}
