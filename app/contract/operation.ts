import type { Request } from 'express';
import type { Contract, Operation } from '../../spec/load.ts';

/** Returns the operation of the contract that the validator has matched to the request. */
export function operationOf(contract: Contract, req: Request): Operation | undefined {
  return contract.paths[req.openapi?.openApiRoute ?? '']?.[req.method.toLowerCase()];
}
