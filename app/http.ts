import express, { type Express, type RequestHandler } from 'express';
import { middleware as openApiValidator } from 'express-openapi-validator';
import { type Contract, operationsOf, parametersOf } from '../spec/load.ts';
import { createAuthenticator } from './auth.ts';
import { bodyReader } from './body.ts';
import { errorHandler, notFound } from './errors.ts';
import { requestLog } from './log.ts';
import { queryParser } from './query.ts';
import { authRoutes } from './routes/auth.ts';
import { docsRoutes } from './routes/docs.ts';
import { refuseFilterToo, sessionsRoutes } from './routes/sessions.ts';
import { systemRoutes } from './routes/system.ts';
import { vmsRoutes } from './routes/vms.ts';
import type { Context } from './server.ts';
import { operationOf, ValidationFailure } from './validation.ts';

/** Returns the application: what every request goes through, in this order. */
export function createApp(context: Context): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.set('query parser', queryParser(context.contract));

  app.use(requestLog(context));
  app.use(validator(context));
  app.use(sessionsRoutes(context));
  app.use(vmsRoutes(context));
  app.use(authRoutes(context));
  app.use(systemRoutes(context));
  app.use(docsRoutes());
  app.use(notFound);
  app.use('/v1/sessions/sandboxes', refuseFilterToo(context));
  app.use(errorHandler(context.contract));
  return app;
}

function validator(context: Context): RequestHandler[] {
  const handlers = openApiValidator({
    apiSpec: lenientOnReserved(context.contract) as never,
    validateApiSpec: false,
    validateRequests: { allErrors: true, allowUnknownQueryParameters: true },
    validateResponses: context.config.validateResponses,
    validateSecurity: { handlers: { OAuth2PasswordBearer: createAuthenticator(context) } },
    fileUploader: false,
    // The files that make up the reference page.
    ignorePaths: /^\/docs\/./,
  }) as RequestHandler[];
  // Bodies are read once it is known who sends them and to what, and before they are validated.
  const at = handlers.findIndex(({ name }) => name === 'requestMiddleware');
  if (at < 0) throw new Error('express-openapi-validator has other parts than before');
  const { contract } = context;
  return [...handlers.slice(0, at), ...bodyReader(contract), ...handlers.slice(at), requireBody(contract)];
}

/** The validator takes an empty body for none and lets it pass where the schema has no required members. */
function requireBody(contract: Contract): RequestHandler {
  return (req, _res, next) => {
    const operation = operationOf(contract, req);
    if (!operation?.requestBody?.required || req.body !== undefined) return next();
    throw new ValidationFailure([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  };
}

/** A copy of the contract (the validator changes it) that takes query values such as `{"a":1}` unescaped, as FastAPI does. */
function lenientOnReserved(contract: Contract): Contract {
  const copy = structuredClone(contract);
  for (const { operation } of operationsOf(copy)) {
    for (const parameter of parametersOf(copy, operation)) if (parameter.in === 'query') parameter.allowReserved = true;
  }
  return copy;
}
