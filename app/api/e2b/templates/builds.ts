import { type Request, type RequestHandler, Router } from 'express';
import { type Build, findBuild, requestBuild, startBuild } from '../../../../db/builds/builds.ts';
import { type LogEntry, lastOfStep, readLog, readLogAround } from '../../../../db/builds/log.ts';
import type { LogLevel } from '../../../../db/builds/tables.ts';
import { StoreError } from '../../../../db/errors.ts';
import { defaultSize } from '../../../../db/sandboxes/insert.ts';
import { inTransaction } from '../../../../db/store.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../../auth.ts';
import type { Context, Machines } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { namespaceOf, parseReference, tagOf, untagged, withTag } from '../references.ts';
import { buildInfo, logEntry, requestedBuild } from './shapes.ts';
import { buildSpecOf } from './steps.ts';
import { unknownTemplate } from './templates.ts';

type Schemas = components['schemas'];

/** How much of the log of a failed step its reason shows. */
const reasonEntries = 10;

/** The routes of the tag `e2b-builds` but those for files. They need machines. */
export function e2bBuildsRoutes(context: Context): Router {
  const router = Router();
  router.post('/v3/templates', request(context));
  router.post('/v2/templates/:templateID/builds/:buildID', start(context));
  router.get('/templates/:templateID/builds/:buildID/status', status(context));
  router.get('/templates/:templateID/builds/:buildID/logs', logs(context));
  router.use(['/v2/templates/:templateID/builds', '/templates/:templateID/builds'], unknownTemplate);
  return router;
}

function request({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const asked: Schemas['NewTemplateBuild'] = req.body;
    const namespace = namespaceOf(principalOf(req).user.name);
    const named = asked.name ?? asked.alias;
    if (named === undefined) throw new HttpError(400, 'name is required');
    const reference = parseReference(named, namespace);
    if (reference.includes('/')) throw new HttpError(400, `The namespace of a template can only be '${namespace}'`);
    const tags = tagsOf(reference, asked.tags ?? []);
    const wanted = {
      name: withTag(untagged(reference), tags[0] as string),
      tags,
      snapshotType: null,
      vcpuCount: asked.cpuCount ?? defaultSize.vcpuCount,
      memoryMb: asked.memoryMB ?? defaultSize.memoryMb,
    };
    const build = await inTransaction(store.db, (trx) => requestBuild(trx, now(), actorOf(req), wanted));
    res.status(202).json(requestedBuild(build, namespace));
  };
}

/** Returns the tags of a template, which is named with the first. Without any it is `default`. */
function tagsOf(reference: string, asked: string[]): string[] {
  const own = reference.includes(':') ? [tagOf(reference)] : [];
  const tags = [...new Set([...own, ...asked.map((tag) => tag.toLowerCase())])];
  return tags.length === 0 ? ['default'] : tags;
}

function start({ store, now, machines }: Context): RequestHandler {
  return async (req, res) => {
    const [by, { templateId, id }] = [actorOf(req), idsOf(req)];
    const spec = buildSpecOf(req.body, namespaceOf(principalOf(req).user.name));
    await inTransaction(store.db, (trx) => startBuild(trx, now(), by, { templateId, id, spec }));
    (machines as Machines).builds.start(id, by);
    res.status(202).end();
  };
}

function status({ store }: Context): RequestHandler {
  return async (req, res) => {
    const build = await buildOf(store, req);
    const { logsOffset, limit, level = 'debug' } = req.query as Record<string, string>;
    const wanted = { offset: Number(logsOffset), limit: Number(limit), level: level as LogLevel };
    const entries = await readLog(store.db, build.id, wanted);
    res.json(buildInfo(build, entries, await lastEntries(store, build)));
  };
}

/** Returns the last log entries of the step that made a build fail. */
async function lastEntries({ db }: Context['store'], { id, failedStep }: Build): Promise<LogEntry[]> {
  return failedStep === null ? [] : lastOfStep(db, id, failedStep, reasonEntries);
}

function logs({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { id } = await buildOf(store, req);
    const { cursor, direction, limit, level = 'debug' } = req.query as Record<string, string>;
    const entries = await readLogAround(store.db, id, {
      cursor: cursor === undefined ? null : Number(cursor),
      isBackward: direction === 'backward',
      limit: Number(limit),
      level: level as LogLevel,
    });
    res.json({ logs: entries.map(logEntry) } satisfies Schemas['TemplateBuildLogs']);
  };
}

async function buildOf({ db }: Context['store'], req: Request): Promise<Build> {
  const { templateId, id } = idsOf(req);
  const build = await findBuild(db, principalOf(req).user.id, templateId, id);
  if (!build) throw new StoreError('not_found', 'Build not found');
  return build;
}

function idsOf({ params }: Request): { templateId: string; id: string } {
  return { templateId: params.templateID as string, id: (params.buildID as string).toLowerCase() };
}
