import { type RequestHandler, Router } from 'express';
import type { components } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import { reasonFor } from '../../contract/not-offered-paths.ts';

/** The routes of the tag `custom-domains`. */
export function customDomainsRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/custom-domains/:domain_id', read(context));
  return router;
}

function read({ contract }: Context): RequestHandler {
  const reason = reasonFor(contract, '/v1/custom-domains');
  return (req, res) => {
    const body: components['schemas']['CustomDomain'] = {
      id: Number(req.params.domain_id),
      domain: '',
      status: 'failed',
      last_error: reason,
    };
    res.json(body);
  };
}
