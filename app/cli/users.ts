import type { Command } from 'commander';
import { createUser, deleteUser, getUser, listUsers, newPasswordHash, setPassword } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { inTransaction, type Store } from '../../db/store.ts';
import { isoTimeOrNull } from '../../spec/time.ts';
import { jsonLine } from '../terminal/printable.ts';
import { confirm, readPassword, type Terminal, table } from '../terminal/terminal.ts';
import { addSettings, withStore } from './options.ts';

export function usersCommand(program: Command, terminal: Terminal): void {
  const users = program.command('users').description('add, list and delete users');

  addSettings(users.command('create <name>'), ['db'])
    .description('add a user')
    .option(
      '--password',
      "ask for a password (read from standard input where that's no terminal); without one they use API keys only",
    )
    .action(async (name, flags) => {
      const hash = flags.password ? await newPasswordHash(await readPassword(terminal)) : null;
      const create = ({ db }: Store) => inTransaction(db, (trx) => createUser(trx, Date.now(), cli, name, hash));
      await withStore(flags, create, { mayCreate: true });
      terminal.stdout.write(`Added ${name}.\n`);
    });

  addSettings(users.command('list'), ['db'])
    .description('list the users')
    .option('--json', 'as JSON')
    .action((flags) =>
      withStore(flags, async ({ db }) => {
        const rows = (await listUsers(db)).map((user) => ({
          name: user.name,
          created_at: isoTimeOrNull(user.createdAt),
          sandboxes: user.sandboxes,
        }));
        const asTable = () =>
          table(
            ['NAME', 'CREATED', 'SANDBOXES'],
            rows.map((r) => [r.name, r.created_at, r.sandboxes]),
          );
        terminal.stdout.write(flags.json ? jsonLine(rows) : asTable());
      }),
    );

  addSettings(users.command('passwd <name>'), ['db'])
    .description("set a user's password and end their access tokens")
    .action(async (name, flags) => {
      const password = await readPassword(terminal);
      await withStore(flags, async ({ db }) => {
        const hash = await newPasswordHash(password);
        await inTransaction(db, async (trx) => setPassword(trx, Date.now(), cli, await getUser(trx, name), hash));
      });
      terminal.stdout.write(`Changed the password of ${name}.\n`);
    });

  addSettings(users.command('delete <name>'), ['db'])
    .description('delete a user with their keys, tokens, events and webhooks')
    .option('--with-sandboxes', 'and with their sandboxes')
    .option('--yes', 'without asking; in a script, where nobody could answer, it never asks')
    .action(async (name, flags) => {
      const all = flags.withSandboxes ? 'their keys and sandboxes' : 'their keys';
      await confirm(terminal, `Delete ${name} with ${all}?`, flags.yes);
      const withSandboxes = Boolean(flags.withSandboxes);
      await withStore(flags, ({ db }) => inTransaction(db, (trx) => deleteUser(trx, name, { withSandboxes })));
      terminal.stdout.write(`Deleted ${name}.\n`);
    });
}
