import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Contract } from './load.ts';
import { dateTimeFormat } from './time.ts';

/**
 * Returns a function that checks a value against the schema at a JSON pointer of the contract. It
 * returns the value, or throws an Error that lists the differences.
 */
export function checkerOf<T>(contract: Contract, pointer: string): (value: unknown) => T {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addFormat('date-time', dateTimeFormat);
  ajv.addSchema(contract, 'contract');
  const validate = ajv.compile<T>({ $ref: `contract${pointer}` });
  return (value) => {
    if (validate(value)) return value;
    throw new Error(ajv.errorsText(validate.errors, { dataVar: '' }).trim().replace(/^\//, ''));
  };
}
