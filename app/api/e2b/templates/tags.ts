import { type Request, type RequestHandler, Router } from 'express';
import { StoreError } from '../../../../db/errors.ts';
import { findSnapshot } from '../../../../db/snapshots/snapshots.ts';
import { assignTags, findTag, removeTags, type Tag, tagsOf } from '../../../../db/snapshots/tags.ts';
import { type Db, inTransaction } from '../../../../db/store.ts';
import { Turns } from '../../../../db/turns.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { sendArray } from '../../../http/json-array.ts';
import { namespaceOf, parseReference, qualified, taggedName, untagged, withTag } from '../references.ts';
import { templateTag } from '../shapes.ts';
import { unknownTemplate } from './templates.ts';

type Schemas = components['schemas'];

/** The routes of the tag `e2b-tags`. */
export function e2bTagsRoutes(context: Context): Router {
  const router = Router();
  router.post('/templates/tags', assign(context));
  router.delete('/templates/tags', remove(context));
  router.get('/templates/:templateID/tags', list(context));
  router.get('/templates/:templateID/tags/count', count(context));
  router.get('/templates/:templateID/tags/exists', exists(context));
  router.use('/templates/:templateID', unknownTemplate);
  return router;
}

function assign({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { target, tags }: Schemas['AssignTemplateTags'] = req.body;
    const { namespace, reference } = referenceIn(req, target);
    const lowered = [...new Set(tags.map((tag) => tag.toLowerCase()))];
    const { buildId } = await inTransaction(store.db, async (trx) => {
      const snapshot = await findSnapshot(trx, principalOf(req).user.id, reference);
      if (!snapshot) throw new HttpError(404, `template '${target}' not found`);
      const base = taggedName(snapshot, namespace);
      const references = lowered.map((tag) => withTag(base, tag));
      await assignTags(trx, now(), actorOf(req), snapshot, references);
      return snapshot;
    });
    res.status(201).json({ buildID: buildId, tags: lowered } satisfies Schemas['AssignedTemplateTags']);
  };
}

function remove({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { name, tags }: Schemas['DeleteTemplateTags'] = req.body;
    const lowered = tags.map((tag) => tag.toLowerCase());
    if (lowered.includes('default')) {
      throw new HttpError(400, "The tag 'default' cannot be removed: delete the snapshot instead");
    }
    const { reference } = referenceIn(req, name);
    await inTransaction(store.db, async (trx) => {
      const base = await existingName(trx, req, reference);
      if (base === null) throw new HttpError(404, `template '${name}' not found`);
      const references = lowered.map((tag) => withTag(base, tag));
      await removeTags(trx, now(), actorOf(req), references);
    });
    res.status(204).end();
  };
}

function list({ store, config }: Context): RequestHandler {
  return async (req, res) => {
    const write = (tag: Tag) => JSON.stringify(templateTag(tag));
    await sendArray(res, config, allTags(store.db, req, await nameInPath(store.db, req)), write, new Turns());
  };
}

function count({ store }: Context): RequestHandler {
  return async (req, res) => {
    const turns = new Turns();
    let total = 0;
    for await (const _ of allTags(store.db, req, await nameInPath(store.db, req))) {
      total++;
      await turns.next();
    }
    res.json({ total } satisfies Schemas['TemplateTagsCount']);
  };
}

function exists({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const normalizedTag = (req.query.tag as string).toLowerCase();
    const base = await nameInPath(store.db, req);
    const found = await findTag(store.db, user.id, withTag(base, normalizedTag));
    res.json({ exists: found !== null, normalizedTag } satisfies Schemas['TemplateTagExists']);
  };
}

function referenceIn(req: Request, text: string): { namespace: string; reference: string } {
  const namespace = namespaceOf(principalOf(req).user.name);
  return { namespace, reference: parseReference(text, namespace) };
}

/** Throws StoreError `not_found`. */
async function nameInPath(db: Db, req: Request): Promise<string> {
  const { reference } = referenceIn(req, req.params.templateID as string);
  const base = await existingName(db, req, reference);
  if (base === null) throw new StoreError('not_found', 'Snapshot not found');
  return base;
}

/** Returns the name that a template's tags are added to; null for an unknown template. */
async function existingName(db: Db, req: Request, reference: string): Promise<string | null> {
  const { user } = principalOf(req);
  const found = await findSnapshot(db, user.id, untagged(reference));
  if (found) return taggedName(found, namespaceOf(user.name));
  const { done } = await tagsOf(db, user.id, untagged(reference)).next();
  return done ? null : untagged(reference);
}

/** Yields the tags of a template, without names that InstaVM's clients gave and that are none. */
async function* allTags(db: Db, req: Request, base: string): AsyncGenerator<Tag> {
  const { user } = principalOf(req);
  const namespace = namespaceOf(user.name);
  for await (const tag of tagsOf(db, user.id, base)) {
    if (qualified(tag.reference, namespace)) yield tag;
  }
}
