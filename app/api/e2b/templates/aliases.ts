import { type RequestHandler, Router } from 'express';
import { findSnapshot } from '../../../../db/snapshots/snapshots.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { namespaceOf, parseReference } from '../references.ts';

type Schemas = components['schemas'];

/**
 * The templates that E2B's clients name when their user names none. Without machines, every user
 * can start from them, as from any name.
 */
const wellKnown = ['base', 'code-interpreter-v1', 'desktop', 'mcp-gateway'];

/** The route of E2B's aliases. It comes before those of tags, because `tags` can be an alias. */
export function e2bAliasesRoutes(context: Context): Router {
  const router = Router();
  router.get('/templates/aliases/:alias', readAlias(context));
  return router;
}

function readAlias({ store, machines }: Context): RequestHandler {
  const isPublic = async (name: string) =>
    machines ? (await machines.images.find(name)) !== null : wellKnown.includes(name);
  return async (req, res) => {
    const { user } = principalOf(req);
    const alias = req.params.alias as string;
    const reference = parseReference(alias, namespaceOf(user.name));
    const found = await findSnapshot(store.db, user.id, reference);
    if (!found && !(await isPublic(reference))) throw new HttpError(404, `template '${alias}' not found`);
    const answer = found ? { templateID: found.id, public: false } : { templateID: reference, public: true };
    res.json(answer satisfies Schemas['TemplateAlias']);
  };
}
