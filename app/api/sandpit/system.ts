import { type RequestHandler, Router } from 'express';
import { contractText, textWithoutTests } from '../../../spec/load.ts';
import type { components } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';

type Health = components['schemas']['Health'];
type Ready = components['schemas']['Ready'];
type Server = components['schemas']['Server'];

/** The routes of the tag `system`, except for the API reference page (docs.ts). */
export function systemRoutes(context: Context): Router {
  const router = Router();
  const yaml = context.isTest ? contractText : textWithoutTests();
  router.get('/health', health(context));
  router.get('/ready', ready(context));
  router.get('/v1/server', server(context));
  router.get('/openapi.json', (_req, res) => void res.json(context.contract));
  router.get('/openapi.yaml', (_req, res) => void res.type('application/yaml').send(yaml));
  return router;
}

/**
 * Answers 200 as long as the process runs. Other failures are reported by `/ready`, because a
 * restart would not fix them.
 */
function health({ contract }: Context): RequestHandler {
  return (_req, res) => {
    const body: Health = { status: 'ok', version: contract.info.version };
    res.json(body);
  };
}

/** Answers for people who look at the server; `--metrics-port` has more, for programs. */
function server({ contract, recent, machines }: Context): RequestHandler {
  return (_req, res) => {
    const { requests, failed, p50, p95, p99 } = recent.read();
    // JSON has no infinity: it stands for times above the longest that is told apart.
    const milliseconds = (bound: number | null) => (bound === Number.POSITIVE_INFINITY ? null : bound);
    const times = { p50: milliseconds(p50), p95: milliseconds(p95), p99: milliseconds(p99) };
    const body: Server = {
      version: contract.info.version,
      uptime_seconds: Math.floor(process.uptime()),
      machines: machines?.driver.name ?? null,
      last_hour: { requests, failed, milliseconds: times },
    };
    res.json(body);
  };
}

/** Reads the schema's version each time, because a newer Sandpit may have migrated the database. */
function ready(context: Context): RequestHandler {
  return async (_req, res) => {
    if (context.stopping.aborted) throw new HttpError(503, 'The server is stopping');
    if (!(await isSchemaCurrent(context))) throw new HttpError(503, 'The database has the schema of another version');
    const body: Ready = { status: 'ready' };
    res.json(body);
  };
}

/** Throws HttpError 503 when the store fails. */
async function isSchemaCurrent({ store, log }: Context): Promise<boolean> {
  try {
    return await store.isMigrated();
  } catch (error) {
    log.error({ err: error }, 'the store does not answer');
    throw new HttpError(503, 'The store does not answer');
  }
}
