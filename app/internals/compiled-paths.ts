import paths from 'path-to-regexp';

type Compile = typeof paths.pathToRegexp;
type Compiled = ReturnType<Compile>;

const { pathToRegexp } = paths;
/** The paths are those of contracts, which are few. */
const known = new Map<unknown, { sensitive: boolean; compiled: Compiled }>();

/** Does what pathToRegexp does, but compiles a path of the contract once. */
const compile: Compile = (path, options = {}) => {
  const { sensitive = false, end, trailing, delimiter } = options;
  // The validator gives no other options.
  if (end !== undefined || trailing !== undefined || delimiter !== undefined) return pathToRegexp(path, options);
  const found = known.get(path);
  if (found?.sensitive === sensitive) return found.compiled;
  const compiled = pathToRegexp(path, options);
  known.set(path, { sensitive, compiled });
  return compiled;
};

/**
 * Keeps express-openapi-validator from compiling the paths of the contract, up to the right one,
 * for each request.
 */
export function compilePathsOnce(): void {
  paths.pathToRegexp = compile;
}
