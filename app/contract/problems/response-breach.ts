import type { Request } from 'express';
import { type Contract, type Operation, resolve, type Schema, unescapePointer } from '../../../spec/load.ts';
import { operationOf } from '../operation.ts';
import type { ValidatorError } from './validator-error.ts';

/**
 * Returns a sentence that names the values of a response that break the contract, and their
 * schemas; null for any other error.
 */
export function responseBreach(contract: Contract, error: ValidatorError, req: Request, status: number): string | null {
  const operation = operationOf(contract, req);
  if (error.status !== 500 || !operation) return null;
  const places = error.errors.map(({ path, message }) => {
    const keys = path.split('/').slice(2).map(unescapePointer);
    const pointer = schemaPointer(contract, operation, status, keys);
    return `${['response', ...keys].join('.')} ${message} (${pointer})`;
  });
  return `The response breaks the contract of ${operation.operationId}, status ${status}: ${places.join('; ')}`;
}

/**
 * Returns a pointer into the contract: the schema of a value of the response, or the nearest one
 * around it.
 */
function schemaPointer(contract: Contract, operation: Operation, status: number, keys: string[]): string {
  type Place = { pointer: string; schema: Schema };
  const at = (pointer: string, value: unknown): Place => {
    const { $ref } = (value ?? {}) as Schema;
    return { pointer: $ref ?? pointer, schema: resolve<Schema>(contract, (value ?? {}) as Schema) };
  };
  const response = at(`responses/${status}`, operation.responses[status]);
  const content = 'content' in response.schema ? response.schema.content : {};
  const json = (content as Record<string, { schema?: Schema }>)['application/json']?.schema;
  const whole = at(`${response.pointer}/content/application~1json/schema`, json);
  return keys.reduce<Place>(({ pointer, schema }, key) => {
    if (schema.items) return at(`${pointer}/items`, schema.items);
    const inner = schema.properties?.[key];
    return inner ? at(`${pointer}/properties/${key}`, inner) : { pointer, schema: {} };
  }, whole).pointer;
}
