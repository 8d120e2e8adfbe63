import type { RequestHandler } from 'express';

/**
 * Returns the handlers with these function names from the list that express-openapi-validator
 * returns. The library has no public way to run our own handlers between its steps: bodies are read
 * after the credential is checked, so that a stranger's body costs nothing. Throws an Error if a
 * name is missing, so a renamed function stops every start and every test.
 */
export function handlersNamed(handlers: RequestHandler[], ...names: string[]): RequestHandler[] {
  return names.map((wanted) => {
    const handler = handlers.find(({ name }) => name === wanted);
    if (!handler) throw new Error(`express-openapi-validator has no ${wanted}`);
    return handler;
  });
}
