import ssh2, { type AuthContext, type Connection, type PublicKeyAuthContext } from 'ssh2';
import { listSshKeys } from '../../db/accounts/ssh-keys.ts';
import { findMachine } from '../../db/machines/read.ts';
import type { Context } from '../context.ts';

/** How many keys a client may try: one for each that its agent has. */
const maxAttempts = 20;

/** Who has logged in, to what, and by which key. */
export type Login = { sandboxId: string; ownerId: number; keyId: number };

/**
 * Resolves when the client has logged in to a sandbox with a key of the sandbox's owner. Rejects
 * when it has tried too often or has left. An unknown sandbox is refused as a wrong key is.
 */
export function authenticate(client: Connection, context: Pick<Context, 'store' | 'now' | 'log'>): Promise<Login> {
  const { promise, resolve, reject } = Promise.withResolvers<Login>();
  let attempts = 0;
  let login: Login | null = null;
  const decide = async (attempt: AuthContext) => {
    if (attempt.method !== 'publickey') return attempt.reject(['publickey']);
    if (++attempts > maxAttempts) return reject(new Error('too many keys'));
    const found = await loginWith(attempt, context);
    if (found === null) return attempt.reject(['publickey']);
    // Without a signature the client only asks whether the key would do.
    if (attempt.signature !== undefined) login = found;
    attempt.accept();
  };
  client.on('authentication', (attempt) => {
    decide(attempt).catch((error) => {
      context.log.error({ err: error }, 'an SSH key could not be checked');
      attempt.reject(['publickey']);
    });
  });
  client.once('ready', () => (login ? resolve(login) : reject(new Error('no key'))));
  client.once('close', () => reject(new Error('the client has left')));
  return promise;
}

/** Returns null unless the key is one of the sandbox's owner, and what it has signed is right. */
async function loginWith(
  { username: sandboxId, key, signature, blob, hashAlgo }: PublicKeyAuthContext,
  { store, now }: Pick<Context, 'store' | 'now'>,
): Promise<Login | null> {
  const sandbox = await findMachine(store.db, now(), sandboxId);
  if (!sandbox) return null;
  const { ownerId } = sandbox;
  const data = key.data.toString('base64');
  const known = (await listSshKeys(store.db, ownerId)).find(({ publicKey }) => publicKey.split(/\s+/)[1] === data);
  if (!known) return null;
  const login = { sandboxId, ownerId, keyId: known.id };
  const parsed = ssh2.utils.parseKey(known.publicKey);
  if (parsed instanceof Error || parsed.type !== key.algo) return null;
  // Without the name of a hash it is signed with SHA-1.
  if (key.algo === 'ssh-rsa' && hashAlgo === undefined && signature !== undefined) return null;
  if (signature === undefined) return login;
  return blob !== undefined && parsed.verify(blob, signature, hashAlgo) === true ? login : null;
}
