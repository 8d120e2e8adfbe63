import { type Contract, operationsOf, type Parameter, parametersOf } from '../../spec/load.ts';

type Query = Record<string, string | number | string[]>;

/**
 * Returns the last value of every name in a query or form, as FastAPI takes them; `+` is a space.
 * Names with a bracket are left out: no parameter has one, and the validator would build objects of them.
 */
export function lastValues(text: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) if (!name.includes('[')) values[name] = value;
  return values;
}

export const formType = 'application/x-www-form-urlencoded';

/** Returns the fields of a form; to FastAPI an empty one is not there. */
export function parseForm(text: string): Record<string, string> {
  return Object.fromEntries(Object.entries(lastValues(text)).filter(([, value]) => value !== ''));
}

/** Returns the last value of every parameter of a URL, as text. */
export function parseQuery(url: string): Record<string, string> {
  return lastValues(queryOf(url));
}

/** Returns every value of a URL's parameter, in order, as text. */
export function valuesIn(url: string, name: string): string[] {
  return new URLSearchParams(queryOf(url)).getAll(name);
}

function queryOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

/** Returns whether a parameter is a list that takes one value from each time it is given, as in `kind=a&kind=b`. */
export function isExploded({ schema, explode = true }: Parameter): boolean {
  return schema.type === 'array' && explode;
}

/**
 * Returns Express's `query parser`: it reads the contract's integer parameters the way pydantic does, so that
 * ` 5 ` is 5 while `1e2` and `0x10`, which the validator would take, are no integers (NaN). A list that the contract
 * explodes has every value; of any other parameter the last value counts.
 */
export function queryParser(contract: Contract): (text: string | undefined) => Query {
  const integers = queryNames(contract, ({ schema }) => schema.type === 'integer');
  const lists = queryNames(contract, isExploded);
  return (text) => {
    const query: Query = lastValues(text ?? '');
    for (const name of integers) {
      const value = query[name];
      if (typeof value === 'string') query[name] = integerOf(value) ?? Number.NaN;
    }
    for (const name of lists) if (name in query) query[name] = new URLSearchParams(text).getAll(name);
    return query;
  };
}

/** Digits, grouped by single underscores if at all, and a fraction of zeros. */
const pydanticInteger = /^[+-]?\d+(?:_\d+)*(?:\.0+)?$/;

/** What Rust's `trim` strips: Unicode's White_Space, so next line (U+0085) and no byte order mark. */
const outerBlanks = /^[\p{White_Space}]+|[\p{White_Space}]+$/gu;

/** Pydantic gives up on integers of more digits. */
const maxDigits = 4300;

/** Returns the integer that pydantic reads in a text, of a size that a double holds; null where it reads none. */
export function integerOf(text: string): number | null {
  const digits = digitsOf(text);
  if (digits === null || digits.length > maxDigits) return null;
  const largest = Number.MAX_VALUE;
  return Math.max(-largest, Math.min(largest, Number(digits)));
}

/** Returns whether a text is an integer that pydantic doesn't read because of its size. */
export function isTooLong(text: string): boolean {
  return (digitsOf(text)?.length ?? 0) > maxDigits;
}

/** Leading zeros and underscores don't count. */
function digitsOf(text: string): string | null {
  const numeral = text.replace(outerBlanks, '');
  if (!pydanticInteger.test(numeral)) return null;
  return numeral
    .replaceAll('_', '')
    .replace(/\..*/, '')
    .replace(/^([+-]?)0+(?=\d)/, '$1');
}

function queryNames(contract: Contract, isWanted: (parameter: Parameter) => boolean): string[] {
  const parameters = operationsOf(contract).flatMap(({ operation }) => parametersOf(contract, operation));
  return [...new Set(parameters.filter((one) => one.in === 'query' && isWanted(one)).map(({ name }) => name))];
}
