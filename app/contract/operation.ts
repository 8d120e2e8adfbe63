import type { Request } from 'express';
import type { Contract, Operation } from '../../spec/load.ts';

/** Returns the operation of the contract that the validator has matched to the request. */
export function operationOf(contract: Contract, req: Request): Operation | undefined {
  return contract.paths[req.openapi?.openApiRoute ?? '']?.[req.method.toLowerCase()];
}

/** Returns the body of an operation, unless its handler reads it. */
export function bodyOf(operation: Operation | undefined): Operation['requestBody'] {
  return operation?.['x-reads-body'] ? undefined : operation?.requestBody;
}
