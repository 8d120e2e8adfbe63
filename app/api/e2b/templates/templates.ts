import { type ErrorRequestHandler, type Request, type RequestHandler, Router } from 'express';
import { findNewestBuild } from '../../../../db/builds/read.ts';
import { StoreError } from '../../../../db/errors.ts';
import type { Cursor } from '../../../../db/sandboxes/lists/pages.ts';
import { type ListedSnapshot, listSnapshots } from '../../../../db/snapshots/list.ts';
import type { Snapshot } from '../../../../db/snapshots/rows.ts';
import { findSnapshot } from '../../../../db/snapshots/snapshots.ts';
import { Turns } from '../../../../db/turns.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { sendArray } from '../../../http/json-array.ts';
import { dropTemplate } from '../../../machines/snapshots/requests.ts';
import { nextToken, readToken } from '../cursor.ts';
import { namespaceOf, parseReference } from '../references.ts';
import { defaultTemplate, template } from '../shapes.ts';
import { pageOfBuilds } from './builds-list.ts';
import { plannedTemplate } from './shapes.ts';

type Schemas = components['schemas'];

/** How many snapshots of the unpaged list are read at a time. */
const pageSize = 250;

/** The routes of the tag `e2b-templates`. */
export function e2bTemplatesRoutes(context: Context): Router {
  const router = Router();
  router.get('/templates', list(context));
  router.get('/v2/templates', listPaged(context));
  router.get('/default-templates', listDefaults(context));
  router.get('/templates/:templateID', read(context));
  router.patch(['/templates/:templateID', '/v2/templates/:templateID'], update(context));
  router.delete('/templates/:templateID', remove(context));
  router.use(['/templates/:templateID', '/v2/templates/:templateID'], unknownTemplate);
  return router;
}

function list({ store, config }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const namespace = namespaceOf(user.name);
    async function* allSnapshots(): AsyncGenerator<ListedSnapshot> {
      for (let after: Cursor | null = null; ; ) {
        const page: ListedSnapshot[] = await listSnapshots(store.db, user.id, { after, limit: pageSize });
        yield* page;
        const last = page.at(-1);
        if (!last || page.length < pageSize) return;
        after = { startedAt: last.createdAt, id: last.id };
      }
    }
    const write = (snapshot: ListedSnapshot) => JSON.stringify(template(snapshot, namespace));
    await sendArray(res, config, allSnapshots(), write, new Turns());
  };
}

function listPaged({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const limit = Number(req.query.limit);
    const after = readToken(req.query.nextToken as string | undefined);
    const found = await listSnapshots(store.db, user.id, { after, limit: limit + 1 });
    const page = found.slice(0, limit);
    const last = page.at(-1);
    if (found.length > limit && last) res.set('X-Next-Token', nextToken({ startedAt: last.createdAt, id: last.id }));
    res.json(page.map((snapshot) => template(snapshot, namespaceOf(user.name))));
  };
}

/** The templates of administrators, which every user can start from. */
function listDefaults({ machines }: Context): RequestHandler {
  return async (_req, res) => {
    const templates = machines ? await machines.images.list() : [];
    res.json(templates.map((found) => defaultTemplate(found, machines?.images.isReady(found.image) ?? false)));
  };
}

function read({ store: { db } }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const namespace = namespaceOf(user.name);
    const page = { after: readToken(req.query.nextToken as string | undefined), limit: Number(req.query.limit) };
    const reference = parseReference(req.params.templateID as string, namespace);
    const snapshot = await findSnapshot(db, user.id, reference);
    const planned = snapshot ? null : await findNewestBuild(db, user.id, reference);
    const id = snapshot?.id ?? planned?.templateId;
    if (id === undefined) throw new StoreError('not_found', 'Snapshot not found');
    const { builds, next } = await pageOfBuilds(db, user.id, { id, snapshot }, page);
    if (next) res.set('X-Next-Token', nextToken(next));
    const about = planned ? plannedTemplate(planned, namespace) : template(snapshot as Snapshot, namespace);
    const body: Schemas['TemplateWithBuilds'] = { ...about, builds: builds.map(({ shape }) => shape) };
    res.json(body);
  };
}

/** The contract lets only requests pass that change nothing. */
function update(context: Context): RequestHandler {
  return async (req, res) => {
    const { names } = template(await templateOf(context, req), namespaceOf(principalOf(req).user.name));
    res.json({ names } satisfies Schemas['TemplateUpdated']);
  };
}

async function templateOf({ store }: Context, req: Request): Promise<Snapshot> {
  const { user } = principalOf(req);
  const reference = parseReference(req.params.templateID as string, namespaceOf(user.name));
  const found = await findSnapshot(store.db, user.id, reference);
  if (!found) throw new StoreError('not_found', 'Snapshot not found');
  return found;
}

function remove(context: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const reference = parseReference(req.params.templateID as string, namespaceOf(user.name));
    await dropTemplate(context, req, reference);
    res.status(204).end();
  };
}

/** Answers 404 in E2B's words for a template that the caller does not have. */
export const unknownTemplate: ErrorRequestHandler = (error, req, _res, next) => {
  const isUnknown = error instanceof StoreError && error.code === 'not_found';
  next(isUnknown ? new HttpError(404, `template '${req.params.templateID}' not found`) : error);
};
