/** The parts of an error of express-openapi-validator that are read here. */
export type ValidatorError = Error & {
  status: number;
  headers?: Record<string, string>;
  errors: { path: string; message: string; errorCode?: string }[];
};

export function isValidatorError(error: unknown): error is ValidatorError {
  return error instanceof Error && 'status' in error && 'errors' in error && Array.isArray(error.errors);
}

/** Returns whether the error is about a request that was understood and breaks the contract. */
export function isBreach({ status, errors }: ValidatorError): boolean {
  return status === 400 && errors.some(({ errorCode }) => errorCode !== undefined);
}
