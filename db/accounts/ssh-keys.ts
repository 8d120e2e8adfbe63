import { createHash } from 'node:crypto';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, recordEvent } from '../events/record.ts';
import type { Db, Trx } from '../store.ts';

/** An SSH public key, which opens its owner's machines. */
export type SshKey = {
  id: number;
  /** as OpenSSH shows it */
  fingerprint: string;
  comment: string;
  publicKey: string;
  createdAt: number;
};

export type NewSshKey = Pick<SshKey, 'fingerprint' | 'comment' | 'publicKey'>;

const maxKeys = 100;

/**
 * Adds an SSH public key and returns it. A key that the owner has keeps its id and gets the new
 * comment. Throws StoreError `refused` at the limit.
 */
export async function addSshKey(trx: Trx, now: number, by: Actor, key: NewSshKey): Promise<SshKey> {
  const { ownerId } = by;
  const { fingerprint, comment } = key;
  const existing = (await listSshKeys(trx, ownerId)).find((one) => one.fingerprint === fingerprint);
  if (existing) {
    if (existing.comment === comment) return existing;
    await trx.updateTable('ssh_keys').set({ comment }).where('id', '=', existing.id).execute();
    await record(trx, now, by, 'ssh_key.updated', fingerprint, comment);
    return { ...existing, comment };
  }
  await requireRoom(trx, ownerId);
  const values = { owner_id: ownerId, fingerprint, public_key: key.publicKey, comment, created_at: now };
  const { id } = await trx.insertInto('ssh_keys').values(values).returning('id').executeTakeFirstOrThrow();
  await record(trx, now, by, 'ssh_key.created', fingerprint, comment);
  return { ...key, id, createdAt: now };
}

/** Returns the owner's SSH keys, oldest first. */
export async function listSshKeys(db: Db, ownerId: number): Promise<SshKey[]> {
  return db
    .selectFrom('ssh_keys')
    .select(['id', 'fingerprint', 'comment', 'public_key as publicKey', 'created_at as createdAt'])
    .where('owner_id', '=', ownerId)
    .orderBy('id')
    .execute();
}

/** Deletes the owner's SSH key and returns it. Throws StoreError `not_found`. */
export async function deleteSshKey(trx: Trx, now: number, by: Actor, id: number): Promise<SshKey> {
  const found = (await listSshKeys(trx, by.ownerId)).find((key) => key.id === id);
  if (!found) throw new StoreError('not_found', 'SSH key not found');
  await trx.deleteFrom('ssh_keys').where('id', '=', id).execute();
  await record(trx, now, by, 'ssh_key.deleted', found.fingerprint, found.comment);
  return found;
}

async function requireRoom(trx: Trx, ownerId: number): Promise<void> {
  if ((await listSshKeys(trx, ownerId)).length < maxKeys) return;
  throw new StoreError(
    'refused',
    `There may be ${maxKeys} SSH keys at most: delete one first with DELETE /v1/ssh-keys/{key_id}`,
  );
}

/**
 * Returns the parts of a public key: its type, its data in base64 and a comment, separated by
 * blanks. Null if the data is not base64 or does not begin with the type (RFC 4253, 6.6).
 */
export function parseSshKey(line: string): NewSshKey | null {
  const publicKey = line.trim();
  const [, type = '', text = '', comment = ''] = /^(\S+)[ \t]+(\S+)[ \t]*(.*)$/.exec(publicKey) ?? [];
  const data = Buffer.from(text, 'base64');
  const length = data.length > 4 ? data.readUInt32BE() : 0;
  if (data.toString('base64') !== text || length === 0 || data.toString('latin1', 4, 4 + length) !== type) return null;
  const hash = createHash('sha256').update(data).digest('base64').replace(/=+$/, '');
  return { publicKey, fingerprint: `SHA256:${hash}`, comment };
}

async function record(
  trx: Trx,
  now: number,
  by: Actor,
  kind: EventKind & `ssh_key.${string}`,
  fingerprint: string,
  comment: string,
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: fingerprint, sandboxId: null, details: { comment } });
}
