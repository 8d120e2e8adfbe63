import { type RequestHandler, Router } from 'express';
import { sql } from 'kysely';
import { contractText } from '../../spec/load.ts';
import type { components } from '../../spec/types.gen.ts';
import { HttpError } from '../errors.ts';
import type { Context } from '../server.ts';

type Health = components['schemas']['Health'];

export function systemRoutes(context: Context): Router {
  const router = Router();
  router.get('/health', health(context));
  router.get('/openapi.json', (_req, res) => void res.json(context.contract));
  router.get('/openapi.yaml', (_req, res) => void res.type('application/yaml').send(contractText));
  return router;
}

function health({ store, contract, log }: Context): RequestHandler {
  return async (_req, res) => {
    try {
      await sql`select 1`.execute(store.db);
    } catch (error) {
      log.error({ err: error }, 'the store does not answer');
      throw new HttpError(503, 'The store does not answer');
    }
    const body: Health = { status: 'ok', version: contract.info.version };
    res.json(body);
  };
}
