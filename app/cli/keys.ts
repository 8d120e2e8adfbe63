import type { Command } from 'commander';
import { type ApiKey, createApiKey, listApiKeys, permissionsOf, revokeApiKey } from '../../db/accounts/api-keys.ts';
import { getUser } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { inTransaction, type Store } from '../../db/store.ts';
import { isoTimeOrNull } from '../../spec/time.ts';
import { duration } from '../config/readers.ts';
import { jsonLine } from '../terminal/printable.ts';
import { type Terminal, table } from '../terminal/terminal.ts';
import { addSettings, asFlag, withStore } from './options.ts';

type CreateFlags = { user: string; name: string; expires?: number; readOnly?: boolean; json?: boolean };

export function keysCommand(program: Command, { stdout, now }: Terminal): void {
  const keys = program.command('keys').description('create, list and revoke API keys');

  addSettings(keys.command('create'), ['db'])
    .description('create an API key and print it; it is not shown again')
    .requiredOption('--user <name>', 'owner of the key')
    .option('--name <name>', 'name of the key', 'unnamed')
    .option('--expires <duration>', 'how long the key is valid, e.g. 30d or 12h (default: forever)', asFlag(duration))
    .option('--read-only', 'allow reading only')
    .option('--json', 'print JSON')
    .action((flags: CreateFlags) =>
      withStore(flags, async ({ db }) => {
        const { user, name, expires, readOnly: isReadOnly = false } = flags;
        const time = now();
        const expiresAt = expires === undefined ? null : time + expires;
        const key = await inTransaction(db, async (trx) => {
          const { id } = await getUser(trx, user);
          return createApiKey(trx, time, { ...cli, ownerId: id }, name, { expiresAt, isReadOnly });
        });
        const permissions = permissionsOf({ isReadOnly });
        const made = { key, user, name, expires_at: isoTimeOrNull(expiresAt), permissions };
        stdout.write(flags.json ? jsonLine(made) : `${key}\n`);
      }),
    );

  addSettings(keys.command('list'), ['db'])
    .description('list API keys by their prefixes')
    .option('--user <name>', "only this user's keys")
    .option('--json', 'print JSON')
    .action((flags) => withStore(flags, async (store) => void stdout.write(await listing(store, flags))));

  addSettings(keys.command('revoke <prefix>'), ['db'])
    .description('revoke an API key, given its prefix or the whole key, at once')
    .action(async (given, flags) => {
      const prefix = await withStore(flags, ({ db }) =>
        inTransaction(db, (trx) => revokeApiKey(trx, Date.now(), cli, given)),
      );
      stdout.write(`Revoked ${prefix}.\n`);
    });
}

async function listing({ db }: Store, flags: { user?: string; json?: boolean }): Promise<string> {
  const user = flags.user === undefined ? undefined : await getUser(db, flags.user);
  const rows = (await listApiKeys(db, { userId: user?.id })).map(shown);
  if (flags.json) return jsonLine(rows);
  const cells = rows.map((row) => [
    row.prefix,
    row.name,
    row.owner,
    row.permissions.join(', '),
    row.created_at,
    row.last_used_at,
    row.expires_at,
    row.revoked_at,
  ]);
  return table(['PREFIX', 'NAME', 'USER', 'MAY', 'CREATED', 'LAST USED', 'EXPIRES', 'REVOKED'], cells);
}

/** Uses the API's property names. */
function shown({ prefix, name, owner, isReadOnly, createdAt, lastUsedAt, expiresAt, revokedAt }: ApiKey) {
  return {
    prefix,
    name,
    owner,
    permissions: permissionsOf({ isReadOnly }),
    created_at: isoTimeOrNull(createdAt),
    last_used_at: isoTimeOrNull(lastUsedAt),
    expires_at: isoTimeOrNull(expiresAt),
    revoked_at: isoTimeOrNull(revokedAt),
  };
}
