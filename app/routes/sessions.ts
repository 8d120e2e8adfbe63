import { type ErrorRequestHandler, type RequestHandler, Router } from 'express';
import { compileFilter, type Filter } from '../../db/metadata.ts';
import { listSandboxes } from '../../db/sandboxes.ts';
import { principalOf } from '../auth.ts';
import { readJsonObject } from '../json.ts';
import { parseQuery } from '../query.ts';
import type { Context } from '../server.ts';
import { isBreach, isValidatorError, problemsOf, ValidationFailure } from '../validation.ts';
import { sandboxInfos, sendJson } from '../wire.ts';

/** The contract's description names it. */
const maxFilterLength = 8192;

export function sessionsRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/sessions/sandboxes', list(context));
  return router;
}

function list({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const filter = readFilter(req.query.metadata as string | null | undefined);
    const limit = Number(req.query.limit);
    const sandboxes = await listSandboxes(store.db, now(), user.id, { filter, limit });
    sendJson(res, config, sandboxInfos(sandboxes));
  };
}

/** The validator knows nothing of the JSON in `metadata`: when it refuses the rest, this has the filter judged as well. */
export function refuseFilterToo({ contract }: Context): ErrorRequestHandler {
  return (error, req, _res, next) => {
    if (!isValidatorError(error) || !isBreach(error)) return next(error);
    const problems = problemsOf(contract, error, req);
    try {
      readFilter(parseQuery(req.url).metadata);
    } catch (failure) {
      if (failure instanceof ValidationFailure) problems.unshift(...failure.problems);
    }
    next(new ValidationFailure(problems));
  };
}

/** Null is what the validator makes of an empty text where null is allowed. Throws ValidationFailure. */
function readFilter(text: string | null | undefined): Filter {
  return compileFilter(text === undefined ? {} : readJsonObject(text ?? '', ['query', 'metadata'], maxFilterLength));
}
