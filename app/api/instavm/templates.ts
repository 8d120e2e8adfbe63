import { type RequestHandler, Router } from 'express';
import { timeoutActionOf } from '../../../db/sandboxes/runs.ts';
import { sessionOf } from '../../../db/sessions/session-id.ts';
import { inTransaction } from '../../../db/store.ts';
import { findTemplate, listTemplates, publishTemplate, type Template } from '../../../db/templates/templates.ts';
import { defaultLifetimeSeconds, maxLifetimeSeconds } from '../../../spec/limits.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { startSandbox } from '../../machines/launch/start.ts';
import { shownToUsers } from './errors.ts';
import { expiresAt, vmStatus } from './shapes.ts';

type Schemas = components['schemas'];
type Details = Pick<Schemas['DevboxTemplate'], 'description' | 'source_repo' | 'icon' | 'icon_url' | 'terminal'>;

/** The routes of the tag `templates`. */
export function templatesRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/templates', list(context));
  router.post('/v1/templates', publish(context));
  router.get('/v1/templates/:slug', read(context));
  router.post('/v1/templates/:slug/runs', run(context));
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const limit = Number(req.query.limit);
    const found = await listTemplates(store.db, limit + 1, req.query.cursor as string | undefined);
    const page = found.slice(0, limit);
    if (found.length > limit) res.set('X-Next-Cursor', page.at(-1)?.slug);
    res.json({ templates: page.map((template) => ({ ...template, has_app: false, aliases: [] })) });
  };
}

function publish({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { manifest, snapshot_id: snapshotId }: Schemas['PublishTemplate'] = req.body;
    const { slug, name, version, audience, vm, terminal } = manifest;
    const { description = null, source_repo = null, icon = null, icon_url = null } = manifest;
    const details: Details = { description, source_repo, icon, icon_url, terminal };
    const size = { memoryMb: vm.memory_mb, vcpuCount: vm.vcpus };
    const wanted = { slug, name, version, audience, snapshotId, ...size, details: JSON.stringify(details) };
    const template = await inTransaction(store.db, (trx) => publishTemplate(trx, now(), actorOf(req), wanted));
    res
      .status(201)
      .location(`/v1/templates/${slug}`)
      .json({ ...shown(template), snapshot_id: template.snapshotId });
  };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    const template = await findTemplate(store.db, req.params.slug as string);
    if (!template) throw new HttpError(404, 'Template not found');
    res.json(shown(template));
  };
}

function run(context: Context): RequestHandler {
  return async (req, res) => {
    const body: NonNullable<Schemas['TemplateRunRequest']> = req.body;
    const slug = req.params.slug as string;
    const lifetime = body.vm_lifetime ?? defaultLifetimeSeconds;
    const settings = {
      metadata: {},
      env: null,
      settings: null,
      lifetimeSeconds: lifetime === 'max' ? maxLifetimeSeconds : lifetime,
      onTimeout: timeoutActionOf(body.auto_suspend),
      devbox: { name: body.name ?? null, templateSlug: slug },
    };
    const template = await findTemplate(context.store.db, slug);
    // Not 404, because InstaVM's client would not show its user why.
    if (!template) throw new HttpError(403, `There is no template '${slug}': list them with GET /v1/templates`);
    const { snapshotId: templateId, memoryMb, vcpuCount } = template;
    const wanted = { ...settings, templateId, memoryMb, vcpuCount };
    const sandbox = await startSandbox(context, req, wanted).catch((error) => {
      throw shownToUsers(error);
    });
    req.sandboxId = sandbox.id;
    const { terminal } = JSON.parse(template.details) as Details;
    res.status(201).json({
      run_id: sandbox.id,
      status: vmStatus[sandbox.status],
      vm_id: sandbox.id,
      session_id: sessionOf(sandbox) as string,
      expires_at: expiresAt(sandbox),
      devbox_name: sandbox.devboxName,
      terminal,
      app: null,
    } satisfies Schemas['TemplateRun']);
  };
}

/** Returns `DevboxTemplate` of the contract. */
function shown({ slug, name, version, audience, details }: Template): Schemas['DevboxTemplate'] {
  const none = { has_app: false, aliases: [], runtime: [], app: null };
  return { slug, name, version, status: 'active', audience, ...(JSON.parse(details) as Details), ...none };
}
