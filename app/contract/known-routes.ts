import type { Request, RequestHandler } from 'express';

/**
 * Returns the handler that finds a request's operation, except that it finds those without
 * parameters in their path at once: express-openapi-validator tries one path after another.
 */
export function withKnownRoutes(findOperation: RequestHandler): RequestHandler {
  // Of the contract's own spellings only, so that it stays small.
  const known = new Map<string, NonNullable<Request['openapi']>>();
  return (req, res, next) => {
    const [path = ''] = req.originalUrl.split('?', 1);
    const key = `${req.method} ${path}`;
    const operation = known.get(key);
    if (operation) {
      req.openapi = { ...operation };
      req.params = {};
      next();
      return;
    }
    findOperation(req, res, (error?: unknown) => {
      const found = req.openapi;
      const hasParameters = Object.keys(req.params).length > 0;
      if (!error && found?.openApiRoute === path && !hasParameters) known.set(key, { ...found });
      next(error);
    });
  };
}
