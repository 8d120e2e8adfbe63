import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Contract } from './load.ts';
import { dateTimeFormat } from './time.ts';

/**
 * One compiler for each contract: reading the whole contract takes longer than compiling a part.
 */
const compilers = new WeakMap<Contract, Ajv2020>();

function compilerOf(contract: Contract): Ajv2020 {
  const known = compilers.get(contract);
  if (known) return known;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addFormat('date-time', dateTimeFormat);
  ajv.addSchema(contract, 'contract');
  compilers.set(contract, ajv);
  return ajv;
}

/**
 * Returns a function that checks a value against the schema at a JSON pointer of the contract. It
 * returns the value, or throws an Error that lists the differences.
 */
export function checkerOf<T>(contract: Contract, pointer: string): (value: unknown) => T {
  const validate = compilerOf(contract).compile<T>({ $ref: `contract${pointer}` });
  return (value) => {
    if (validate(value)) return value;
    throw new Error(compilerOf(contract).errorsText(validate.errors, { dataVar: '' }).trim().replace(/^\//, ''));
  };
}
