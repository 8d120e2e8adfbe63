import { once } from 'node:events';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { components } from '../../../../spec/types.gen.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { asciiJson } from '../../../http/json.ts';
import type { Streams } from '../../../http/streams/streams.ts';
import type { CodeContext, CodeEvent, Place } from '../../../machines/code/context.ts';
import { type CodeContexts, codeContextsOf, requireLanguage } from '../../../machines/code/contexts.ts';
import { findRunningSandbox, findTarget, type Target } from '../target.ts';
import { keepalive, Lines } from './lines.ts';
import { codePrefix, reachedByPort } from './port.ts';

type Schemas = components['schemas'];

/**
 * So often a client that only waits is sent something, as by E2B: one that left is noticed then.
 */
const keepaliveMilliseconds = 5000;

/** The routes of E2B's code interpreter. */
export function codeRoutes(context: Context, streams: Streams): Router {
  const router = Router();
  router.get(`${codePrefix}/health`, (_req, res) => void res.status(200).json('OK'));
  router.post(`${codePrefix}/execute`, execute(context, streams));
  router.get(`${codePrefix}/contexts`, list(context));
  router.post(`${codePrefix}/contexts`, create(context));
  router.post(`${codePrefix}/contexts/:context_id/restart`, restart(context));
  router.delete(`${codePrefix}/contexts/:context_id`, remove(context));
  return router;
}

function execute(context: Context, streams: Streams): RequestHandler {
  const find = findTarget(context);
  return async (req, res) => {
    const { code, context_id: id, language, env_vars: env }: Schemas['CodeExecution'] = req.body;
    if (id && language) throw new HttpError(400, 'Only one of context_id or language can be provided');
    const target = await find(req);
    const contexts = await codeContextsOf(await target.agent());
    const chosen = id ? contexts.get(id) : contexts.defaultOf(requireLanguage(language ?? 'python'), placeOf(target));
    const closed = streams.take(res, target.id);
    await sendLines(res, chosen.execute(code, env ?? {}, closed), closed);
  };
}

/**
 * Sends what happens, as it happens. The first line says 200, so what fails before it has its own
 * status.
 */
async function sendLines(res: Response, events: AsyncIterable<CodeEvent>, closed: AbortSignal): Promise<void> {
  const lines = new Lines();
  const write = (text: string) => {
    if (!res.headersSent) res.type('application/x-ndjson');
    return res.write(text);
  };
  const timer = setInterval(() => res.writableNeedDrain || write(keepalive), keepaliveMilliseconds);
  try {
    for await (const event of events) {
      const text = lines.of(event);
      if (text !== '' && !write(text)) await once(res, 'drain', { signal: closed });
    }
    res.end();
  } catch (error) {
    if (closed.aborted) return;
    if (!res.headersSent) throw error;
    const value = error instanceof Error ? error.message : String(error);
    res.end(`${asciiJson({ type: 'error', name: 'SandboxError', value, traceback: value })}\n`);
  } finally {
    clearInterval(timer);
  }
}

function list(context: Context): RequestHandler {
  const contextsOf = contextsFinder(context);
  return async (req, res) => void res.json((await contextsOf(req)).contexts.list().map(shownContext));
}

function create(context: Context): RequestHandler {
  const contextsOf = contextsFinder(context);
  return async (req, res) => {
    const { language, cwd }: Schemas['CodeContextRequest'] = req.body ?? {};
    const { contexts, target } = await contextsOf(req);
    const place = placeOf(target);
    const made = await contexts.create(requireLanguage(language ?? 'python'), { ...place, cwd: cwd || place.cwd });
    res.json(shownContext(made));
  };
}

function restart(context: Context): RequestHandler {
  const contextsOf = contextsFinder(context);
  return async (req, res) => {
    await (await contextsOf(req)).contexts.get(contextId(req)).restart();
    res.json('OK');
  };
}

function remove(context: Context): RequestHandler {
  const contextsOf = contextsFinder(context);
  return async (req, res) => {
    await (await contextsOf(req)).contexts.remove(contextId(req));
    res.json('OK');
  };
}

/**
 * Returns a function that finds the contexts of a sandbox. E2B's clients send no access token with
 * requests for contexts: who may reach the port may make them.
 */
function contextsFinder(context: Context): (req: Request) => Promise<{ contexts: CodeContexts; target: Target }> {
  const [find, findRunning] = [findTarget(context), findRunningSandbox(context)];
  return async (req) => {
    const target = reachedByPort.has(req) ? await findRunning(req, () => true) : await find(req);
    return { contexts: await codeContextsOf(await target.agent()), target };
  };
}

function placeOf({ user, workdir, env }: Target): Place {
  return { user, cwd: workdir, env };
}

/** Empty means the home of the user, which is this one unless a template names another. */
function shownContext({ id, language, place }: CodeContext): Schemas['CodeContext'] {
  return { id, language, cwd: place.cwd || '/home/user' };
}

function contextId(req: Request): string {
  return req.params.context_id as string;
}
