import type { Command } from 'commander';
import { createUser, deleteUser, getUser, listUsers, newPasswordHash, setPassword } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { inTransaction, type Store } from '../../db/store.ts';
import { isoTimeOrNull } from '../../spec/time.ts';
import { jsonLine } from '../terminal/printable.ts';
import { confirm, readPassword, type Terminal, table } from '../terminal/terminal.ts';
import { addSettings, withStore } from './options.ts';

export function usersCommand(program: Command, terminal: Terminal): void {
  const users = program.command('users').description('create, list and delete users');

  addSettings(users.command('create <name>'), ['db'])
    .description('create a user')
    .option(
      '--password',
      'ask for a password (or read it from standard input); without a password the user can only use API keys',
    )
    .action(async (name, flags) => {
      const hash = flags.password ? await newPasswordHash(await readPassword(terminal)) : null;
      const create = ({ db }: Store) => inTransaction(db, (trx) => createUser(trx, Date.now(), cli, name, hash));
      await withStore(flags, create, { mayCreate: true });
      terminal.stdout.write(`Created ${name}.\n`);
    });

  addSettings(users.command('list'), ['db'])
    .description('list users')
    .option('--json', 'print JSON')
    .action((flags) => withStore(flags, async (store) => void terminal.stdout.write(await listing(store, flags))));

  addSettings(users.command('passwd <name>'), ['db'])
    .description("set a user's password and revoke their access tokens")
    .action(async (name, flags) => {
      const password = await readPassword(terminal);
      await withStore(flags, async ({ db }) => {
        const hash = await newPasswordHash(password);
        await inTransaction(db, async (trx) => setPassword(trx, Date.now(), cli, await getUser(trx, name), hash));
      });
      terminal.stdout.write(`Changed the password of ${name}.\n`);
    });

  addSettings(users.command('delete <name>'), ['db'])
    .description('delete a user and their keys, tokens, events and webhooks')
    .option('--with-sandboxes', 'also delete their sandboxes')
    .option('--yes', 'do not ask for confirmation; scripts are never asked')
    .action(async (name, flags) => {
      const all = flags.withSandboxes ? 'their keys and sandboxes' : 'their keys';
      await confirm(terminal, `Delete ${name} and ${all}?`, flags.yes);
      const withSandboxes = Boolean(flags.withSandboxes);
      await withStore(flags, ({ db }) => inTransaction(db, (trx) => deleteUser(trx, name, { withSandboxes })));
      terminal.stdout.write(`Deleted ${name}.\n`);
    });
}

async function listing({ db }: Store, { json }: { json?: boolean }): Promise<string> {
  const rows = (await listUsers(db)).map(({ name, createdAt, sandboxes }) => ({
    name,
    created_at: isoTimeOrNull(createdAt),
    sandboxes,
  }));
  if (json) return jsonLine(rows);
  const cells = rows.map((row) => [row.name, row.created_at, row.sandboxes]);
  return table(['NAME', 'CREATED', 'SANDBOXES'], cells);
}
