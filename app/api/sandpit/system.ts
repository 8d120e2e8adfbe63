import { type RequestHandler, Router } from 'express';
import { contractText, textWithoutTests } from '../../../spec/load.ts';
import type { components } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';

type Health = components['schemas']['Health'];
type Ready = components['schemas']['Ready'];

export function systemRoutes(context: Context): Router {
  const router = Router();
  const yaml = context.isTest ? contractText : textWithoutTests();
  router.get('/health', health(context));
  router.get('/ready', ready(context));
  router.get('/openapi.json', (_req, res) => void res.json(context.contract));
  router.get('/openapi.yaml', (_req, res) => void res.type('application/yaml').send(yaml));
  return router;
}

/** The process answers: what else may be wrong `/ready` says, and a restart would not mend. */
function health({ contract }: Context): RequestHandler {
  return (_req, res) => {
    const body: Health = { status: 'ok', version: contract.info.version };
    res.json(body);
  };
}

/** The schema is asked for each time: another, newer program may have changed it meanwhile. */
function ready(context: Context): RequestHandler {
  return async (_req, res) => {
    if (context.stopping.aborted) throw new HttpError(503, 'The server is stopping');
    const isCurrent = await askStore(context, context.store.isMigrated);
    if (!isCurrent) throw new HttpError(503, 'The database has the schema of another version');
    const body: Ready = { status: 'ready' };
    res.json(body);
  };
}

/** Throws HttpError 503 when the store fails. */
async function askStore<T>({ log }: Context, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    log.error({ err: error }, 'the store does not answer');
    throw new HttpError(503, 'The store does not answer');
  }
}
