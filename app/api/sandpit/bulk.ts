import { type RequestHandler, Router } from 'express';
import { JsonError, type JsonObject } from '../../../db/json/json.ts';
import { findMatching, type KillCriteria, killMatching } from '../../../db/sandboxes/kill.ts';
import { maxFilterLength } from '../../../spec/limits.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, requireWriter } from '../../auth.ts';
import type { Context } from '../../context.ts';

type Schemas = components['schemas'];

/** The routes of the tag `bulk`. */
export function bulkRoutes(context: Context): Router {
  const router = Router();
  router.post('/v1/sandboxes/kill', kill(context));
  return router;
}

function kill({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const body: Schemas['KillSandboxes'] = req.body;
    if (!body.dry_run) requireWriter(req);
    const by = actorOf(req);
    const criteria = criteriaOf(body);
    const { sandboxes, hasMore } = await (body.dry_run
      ? findMatching(store.db, now(), by.ownerId, criteria)
      : killMatching(store.db, now, by, criteria));
    const ids = sandboxes.map(({ id }) => id);
    const killed = { ids, count: ids.length, has_more: hasMore, dry_run: body.dry_run };
    res.json(killed satisfies Schemas['KilledSandboxes']);
  };
}

/** Throws JsonError `value` when the filter is too long. */
function criteriaOf(body: Schemas['KillSandboxes']): KillCriteria {
  const metadata = (body.metadata as JsonObject | null | undefined) ?? {};
  const { status = null, older_than_seconds: olderThanSeconds = null, limit } = body;
  const { length } = JSON.stringify(metadata);
  if (length > maxFilterLength) {
    throw new JsonError('value', `the filter has ${length} characters: at most ${maxFilterLength} are allowed`);
  }
  return { metadata, statuses: status === null ? ['active', 'paused'] : [status], olderThanSeconds, limit };
}
