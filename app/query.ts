import { type Contract, operationsOf, parametersOf } from '../spec/load.ts';

type Query = Record<string, string | number>;

/**
 * Returns the last value of every name in a query or form, as FastAPI takes them; `+` is a space.
 * Names with a bracket are left out: no parameter has one, and the validator would build objects of them.
 */
export function lastValues(text: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(text)) if (!name.includes('[')) values[name] = value;
  return values;
}

/** Returns the last value of every parameter of a URL, as text. */
export function parseQuery(url: string): Record<string, string> {
  const at = url.indexOf('?');
  return lastValues(at < 0 ? '' : url.slice(at + 1));
}

/**
 * Returns Express's `query parser`: it reads the contract's integer parameters the way pydantic does, so that
 * ` 5 ` is 5 while `1e2` and `0x10`, which the validator would take, are no integers (NaN).
 */
export function queryParser(contract: Contract): (text: string | undefined) => Query {
  const integers = integerNames(contract);
  return (text) => {
    const query: Query = lastValues(text ?? '');
    for (const name of integers) {
      const value = query[name];
      if (typeof value === 'string')
        query[name] = pydanticInteger.test(value) ? Number(value.replaceAll('_', '')) : Number.NaN;
    }
    return query;
  };
}

/** Digits, grouped by single underscores if at all, and a fraction of zeros. */
const pydanticInteger = /^\s*[+-]?\d+(_\d+)*(\.0*)?\s*$/;

function integerNames(contract: Contract): string[] {
  const parameters = operationsOf(contract).flatMap(({ operation }) => parametersOf(contract, operation));
  return [
    ...new Set(parameters.filter((p) => p.in === 'query' && p.schema.type === 'integer').map(({ name }) => name)),
  ];
}
