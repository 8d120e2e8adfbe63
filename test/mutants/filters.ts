import { isDeepStrictEqual } from 'node:util';
import {
  anywhere,
  exact,
  filtering,
  has,
  isPairs,
  joinedElements,
  keyed,
  kindless,
  like,
  type Matches,
  multiset,
  type Pairs,
  right,
  subset,
  text,
  topPairs,
  type Value,
} from './matching.ts';
import { json, type Mutant } from './mutant.ts';

const named = (name: string, wrong: string, rule: string, matches: Matches): Mutant => ({
  name,
  wrong,
  rule,
  answer: filtering(matches as (document: Pairs, filter: Pairs) => boolean),
});

/** A correct filter of its own, except for numbers that a double can't represent. */
export const ownFilter = filtering(exact as (document: Pairs, filter: Pairs) => boolean);

export const filterMutants: Mutant[] = [
  named('filter ignored', 'every sandbox is listed', 'filter-applied', () => true),
  named('filter as OR', 'one matching pair is enough', 'filter-all-pairs', (d, f) =>
    Object.entries(f as Pairs).some(([key, x]) => exact(d, { [key]: x })),
  ),
  named('last pair only', 'only the last pair counts', 'filter-all-pairs', (d, f) =>
    exact(d, Object.fromEntries(Object.entries(f as Pairs).slice(-1))),
  ),
  named('filter as equality', 'the metadata must equal the filter', 'filter-contains-not-equals', isDeepStrictEqual),
  named(
    'values without case',
    '"Dev" matches "dev"',
    'filter-case',
    text((d, f) => d.toLowerCase() === f.toLowerCase()),
  ),
  named(
    'keys without case',
    'the key "Env" matches "env"',
    'filter-key-case',
    keyed((d, key, f, all) =>
      Object.entries(d).some(([own, x]) => own.toLowerCase() === key.toLowerCase() && all(x, f)),
    ),
  ),
  named(
    'prefix match',
    '"dev" matches "development"',
    'filter-whole-text',
    text((d, f) => d.startsWith(f)),
  ),
  named(
    'substring match',
    '"23" matches "1234"',
    'filter-whole-text',
    text((d, f) => d.includes(f)),
  ),
  named('LIKE', '% and _ are wildcards', 'filter-literal', text(like)),
  named('numbers as strings', '123 matches "123"', 'filter-number-not-string', kindless(['number'])),
  named('booleans as strings', 'true matches "true"', 'filter-boolean-not-string', kindless(['boolean'])),
  named(
    'true as 1',
    'true matches 1, as in Python',
    'filter-boolean-not-number',
    right({
      scalar: (d, f) =>
        Object.is(d, f) ||
        ([d, f].map(Number).every((value, _, [first]) => value === first) &&
          typeof d !== 'string' &&
          typeof f !== 'string' &&
          d !== null &&
          f !== null),
    }),
  ),
  named(
    'null as missing',
    'null matches a missing key',
    'filter-null',
    keyed((d, key, f, all) => (f === null ? (has(d, key) ? d[key] : null) === null : has(d, key) && all(d[key], f))),
  ),
  named(
    'null never matches',
    'null never matches null, as in SQL',
    'filter-null',
    right({ scalar: (d, f) => f !== null && Object.is(d, f) }),
  ),
  named('null as string', 'null matches "null"', 'filter-null-not-string', kindless(['null'])),
  named(
    'nested ignored',
    'objects and arrays in the filter are skipped',
    'filter-nested',
    topPairs((d, key, f) => (typeof f === 'object' && f !== null ? true : exact(d, { [key]: f }))),
  ),
  named(
    'nested refused',
    'objects in the filter match nothing',
    'filter-nested',
    right({
      pairs: (d, f, all) => Object.entries(f).every(([key, x]) => !isPairs(x) && has(d, key) && all(d[key], x)),
    }),
  ),
  named(
    'nested as equality',
    'a nested object must be equal',
    'filter-nested-partial',
    topPairs((d, key, f) => has(d, key) && (isPairs(f) ? isDeepStrictEqual(d[key], f) : exact(d[key], f))),
  ),
  named('keys at any depth', '{"owner":"ann"} matches {"repo":{"owner":"ann"}}', 'filter-nested-place', (d, f) =>
    Object.entries(f as Pairs).every(([key, x]) => anywhere(d, key, x)),
  ),
  named(
    'arrays as equality',
    'an array must be equal',
    'filter-array-subset',
    right({ array: (d, f) => isDeepStrictEqual(d, f) }),
  ),
  named(
    'arrays ordered',
    'the first element must be the first',
    'filter-array-any-order',
    right({ array: (d, f, all) => f.every((x, at) => at < d.length && all(d[at], x)) }),
  ),
  named(
    'arrays in sequence',
    'elements must come in the order of the filter',
    'filter-array-any-order',
    right({
      array: (d, f, all) => {
        let at = 0;
        return f.every((x) => {
          while (at < d.length && !all(d[at], x)) at++;
          return at++ < d.length;
        });
      },
    }),
  ),
  named(
    'duplicates counted',
    '["a","a"] needs two elements "a"',
    'filter-array-duplicates',
    right({ array: multiset }),
  ),
  named(
    'any element',
    'one matching element is enough',
    'filter-array-all',
    right({ array: (d, f, all) => f.length === 0 || f.some((x) => d.some((y) => all(y, x))) }),
  ),
  named(
    'scalar in array',
    '"x" matches ["x","y"]',
    'filter-array-not-scalar',
    right({ other: (d, f) => Array.isArray(d) && d.includes(f) }),
  ),
  named(
    'scalar as array',
    '["x"] matches "x"',
    'filter-array-not-scalar',
    right({ other: (d, f) => Array.isArray(f) && f.length === 1 && Object.is(f[0], d) }),
  ),
  named(
    'elements as equality',
    'an object in an array must be equal',
    'filter-array-object',
    right({ array: (d, f) => f.every((x) => d.some((y) => isDeepStrictEqual(y, x))) }),
  ),
  named(
    'elements joined',
    'several elements together may match one object',
    'filter-array-one-element',
    right({ array: joinedElements }),
  ),
  named(
    'arrays flattened',
    '[[1],[2]] matches [1,2]',
    'filter-array-nested',
    right({ array: (d, f, all) => subset(d.flat(5), f.flat(5), all) }),
  ),
  named(
    'empty object ignored',
    '{"repo":{}} matches everything',
    'filter-empty-value',
    topPairs((d, key, f) => (isPairs(f) && Object.keys(f).length === 0) || exact(d, { [key]: f })),
  ),
  named(
    'empty array as equality',
    '[] matches an empty array only',
    'filter-empty-value',
    right({ array: (d, f, all) => (f.length === 0 ? d.length === 0 : subset(d, f, all)) }),
  ),
  named('numbers as doubles', '12345678901234567890 matches 12345678901234567891', 'filter-number-exact', exact),
  named(
    'unicode normalized',
    'é as one character matches é as two',
    'filter-unicode',
    text((d, f) => d.normalize() === f.normalize()),
  ),
  named(
    'dotted keys',
    'the key "a.b" matches b inside a',
    'filter-odd-keys',
    topPairs((d, key, f) =>
      exact(
        key
          .split('.')
          .reduce<Value>((inner, step) => (isPairs(inner) && has(inner, step) ? inner[step] : undefined), d),
        f,
      ),
    ),
  ),
  named(
    '__proto__ lost',
    'the key __proto__ is dropped from the filter',
    'filter-odd-keys',
    topPairs((d, key, f) => key === '__proto__' || exact(d, { [key]: f })),
  ),
  named(
    'inherited keys',
    'toString is found in every object',
    'filter-odd-keys',
    right({
      pairs: (d, f, all) =>
        Object.entries(f).every(([key, x]) => key in d && (typeof d[key] === 'function' || all(d[key], x))),
    }),
  ),
  named('fourth pair lost', 'pairs after the third are ignored', 'generated-filters', (d, f) =>
    exact(d, Object.fromEntries(Object.entries(f as Pairs).slice(0, 3))),
  ),
  {
    name: 'numbers by spelling',
    wrong: '1.0 does not match 1',
    rule: 'filter-number-spelling',
    answer: async (call) =>
      /:-?\d+(\.\d*0|[\d.]*e)/.test(call.query.get('metadata') ?? '') ? json(200, []) : call.ask(),
  },
  {
    name: 'empty filter matches nothing',
    wrong: '{} lists nothing',
    rule: 'filter-empty',
    answer: async (call) => (call.query.get('metadata') === '{}' ? json(200, []) : call.ask()),
  },
];
