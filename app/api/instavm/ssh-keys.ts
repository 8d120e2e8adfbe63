import { type RequestHandler, Router } from 'express';
import { addSshKey, deleteSshKey, listSshKeys, parseSshKey, type SshKey } from '../../../db/accounts/ssh-keys.ts';
import { inTransaction } from '../../../db/store.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';

type Schemas = components['schemas'];

/** The routes of the tag `ssh-keys`. */
export function sshKeysRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/ssh-keys', list(context));
  router.post('/v1/ssh-keys', add(context));
  router.delete('/v1/ssh-keys/:key_id', remove(context));
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const keys = await listSshKeys(store.db, principalOf(req).user.id);
    res.json({ keys: keys.map(sshKeyOf) } satisfies Schemas['SshKeys']);
  };
}

function add({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { public_key: publicKey }: Schemas['NewSshKey'] = req.body;
    const key = parseSshKey(publicKey);
    if (!key) {
      const reason = 'it is no SSH public key: give the line of a .pub file';
      throw new ValidationFailure([valueError(['body', 'public_key'], reason, publicKey)]);
    }
    const added = await inTransaction(store.db, (trx) => addSshKey(trx, now(), actorOf(req), key));
    res.status(201).json(sshKeyOf(added));
  };
}

function remove({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const id = Number(req.params.key_id);
    res.json(sshKeyOf(await inTransaction(store.db, (trx) => deleteSshKey(trx, now(), actorOf(req), id))));
  };
}

function sshKeyOf({ id, fingerprint, comment, publicKey, createdAt }: SshKey): Schemas['SshKey'] {
  return { id, fingerprint, comment, public_key: publicKey, created_at: isoTime(createdAt) };
}
