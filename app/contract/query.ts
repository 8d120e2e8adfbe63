import { type Contract, operationsOf, type Parameter, parametersOf } from '../../spec/load.ts';
import { integerOf } from './pydantic/integer.ts';

type Query = Record<string, string | number | string[]>;

export const formType = 'application/x-www-form-urlencoded';

/** Returns the fields of a form. FastAPI treats an empty field as missing. */
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

/**
 * Returns whether a parameter is a list with one value each time it is given, as in
 * `kind=a&kind=b`.
 */
export function isExploded({ schema, explode = true }: Parameter): boolean {
  return schema.type === 'array' && explode;
}

/**
 * Returns Express's `query parser`. It parses the contract's integer parameters as pydantic does; a
 * text that is no integer becomes NaN, which the validator refuses. Exploded lists keep every
 * value; of any other parameter the last value counts.
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

/**
 * Returns the last value of every name in a query or form, as FastAPI does; `+` is a space. Names
 * with a bracket are left out: no parameter has one, and the validator would build objects from
 * them.
 */
function lastValues(text: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) if (!name.includes('[')) values[name] = value;
  return values;
}

function queryOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

function queryNames(contract: Contract, isWanted: (parameter: Parameter) => boolean): string[] {
  const parameters = operationsOf(contract).flatMap(({ operation }) => parametersOf(contract, operation));
  return [...new Set(parameters.filter((one) => one.in === 'query' && isWanted(one)).map(({ name }) => name))];
}
