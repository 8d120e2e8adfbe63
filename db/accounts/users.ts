import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import { type Origin, recordEvent } from '../events/record.ts';
import type { Db, Trx } from '../store.ts';
import { hashPassword, verifyPassword } from './passwords.ts';

export type User = { id: number; name: string };

const userName = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const minPasswordLength = 8;

/**
 * Adds a user and returns it. Without a password hash the user can only use API keys.
 * Throws StoreError `invalid` for a bad name, `conflict` when the name is taken.
 */
export async function createUser(
  trx: Trx,
  now: number,
  by: Origin,
  name: string,
  passwordHash: string | null,
): Promise<User> {
  if (!userName.test(name)) {
    throw new StoreError(
      'invalid',
      'a user name has 1 to 64 letters, digits and . _ @ -, and starts with a letter or digit',
    );
  }
  const values = { name, password_hash: passwordHash, created_at: now };
  try {
    const { id } = await trx.insertInto('users').values(values).returning('id').executeTakeFirstOrThrow();
    await record(trx, now, by, 'user.created', { id, name });
    return { id, name };
  } catch (error) {
    if (!engineOf(trx).isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `a user named ${name} exists already`, { cause: error });
  }
}

/** Returns the user with this name. Throws StoreError `not_found`. */
export async function getUser(db: Db, name: string): Promise<User> {
  const user = await findUser(db, name);
  if (!user) throw new StoreError('not_found', `there is no user named ${name}`);
  return user;
}

/** Returns the user with this name, or undefined. */
export async function findUser(db: Db, name: string): Promise<User | undefined> {
  return db.selectFrom('users').select(['id', 'name']).where('name', '=', name).executeTakeFirst();
}

/** Returns all users by name, with the number of their sandboxes, ended ones included. */
export async function listUsers(db: Db) {
  return db
    .selectFrom('users')
    .leftJoin('sandboxes', 'sandboxes.owner_id', 'users.id')
    .select(({ fn }) => [
      'users.name',
      'users.created_at as createdAt',
      fn.count<number>('sandboxes.id').as('sandboxes'),
    ])
    .groupBy('users.id')
    .orderBy('users.name')
    .execute();
}

/** Sets a user's password, given its hash, and ends their access tokens. */
export async function setPassword(trx: Trx, now: number, by: Origin, user: User, passwordHash: string): Promise<void> {
  await trx.updateTable('users').set({ password_hash: passwordHash }).where('id', '=', user.id).execute();
  await trx.deleteFrom('access_tokens').where('user_id', '=', user.id).execute();
  await record(trx, now, by, 'user.password_changed', user);
}

async function record(
  trx: Trx,
  now: number,
  by: Origin,
  kind: 'user.created' | 'user.password_changed',
  { id, name }: User,
): Promise<void> {
  await recordEvent(trx, now, { ...by, ownerId: id }, { kind, subject: name, sandboxId: null, details: {} });
}

/**
 * Deletes a user with their keys, tokens and events, which no other user may read, and optionally
 * their sandboxes and snapshots.
 * Throws StoreError `not_found`, or `conflict` when the user has sandboxes or snapshots and they
 * are kept.
 */
export async function deleteUser(trx: Trx, name: string, { withSandboxes }: { withSandboxes: boolean }): Promise<void> {
  const { id } = await getUser(trx, name);
  if (!withSandboxes && (await ownsSomething(trx, id))) {
    throw new StoreError('conflict', `${name} has sandboxes or snapshots: delete them too with --with-sandboxes`);
  }
  await deleteBelongings(trx, id);
  await trx.deleteFrom('users').where('id', '=', id).execute();
}

/** Deletes a user's sandboxes, snapshots, events and webhooks, but not their credentials. */
export async function deleteBelongings(trx: Trx, ownerId: number): Promise<void> {
  await engineOf(trx).index.removeAll(trx, ownerId);
  for (const table of [...owned, 'sessions', 'events', 'webhook_endpoints', 'idempotency_keys', 'ssh_keys'] as const)
    await trx.deleteFrom(table).where('owner_id', '=', ownerId).execute();
}

const owned = ['sandboxes', 'snapshots'] as const;

async function ownsSomething(trx: Trx, ownerId: number): Promise<boolean> {
  for (const table of owned) {
    if (await trx.selectFrom(table).select('id').where('owner_id', '=', ownerId).limit(1).executeTakeFirst())
      return true;
  }
  return false;
}

/** Returns the user if the password is theirs, else null. Both take the same time. */
export async function findUserByPassword(db: Db, name: string, password: string): Promise<User | null> {
  const row = await db
    .selectFrom('users')
    .select(['id', 'name', 'password_hash'])
    .where('name', '=', name)
    .executeTakeFirst();
  const matches = await verifyPassword(password, row?.password_hash ?? null);
  return matches && row ? { id: row.id, name: row.name } : null;
}

/**
 * Returns the hash of a new password, after about a third of a second. Throws StoreError `invalid`
 * when the password is too short, `busy` when too many are being hashed.
 */
export async function newPasswordHash(password: string): Promise<string> {
  if (password.length < minPasswordLength) {
    throw new StoreError('invalid', `a password needs at least ${minPasswordLength} characters`);
  }
  return hashPassword(password);
}
