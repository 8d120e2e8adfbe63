import type { Command } from 'commander';
import { backUp, type Copying } from '../../db/sqlite/copies/backup.ts';
import { restore } from '../../db/sqlite/copies/restore.ts';
import { openUnmigrated } from '../../db/sqlite/open.ts';
import { readConfig } from '../config/config.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addSettings, withStore } from './options.ts';

export function backupCommands(program: Command, terminal: Terminal): void {
  addSettings(program.command('backup <file>'), ['db'])
    .description('copy the whole database while the server runs')
    .option('--force', 'replace an existing file')
    .action(async (file, flags) => {
      requireName(file, "a backup can't be written to standard output, because it is checked before it gets its name");
      const copy = { ...copying(terminal), force: Boolean(flags.force) };
      await withStore(flags, ({ sqlite }) => backUp(sqlite, file, copy), { open: openUnmigrated });
      terminal.stderr.write(`Backed up to ${file}.\n`);
    });

  addSettings(program.command('restore <file>'), ['db'])
    .description('replace the database by a backup; stop the server first')
    .option('--force', 'replace an existing database')
    .option(
      '--without-log',
      "accept a copy of a server's file without its write-ahead log; the latest changes are lost",
    )
    .action(async (file, flags) => {
      requireName(
        file,
        "a backup can't be read from standard input, because it is checked before it replaces the database",
      );
      const { db } = readConfig(flags);
      const allowed = { force: Boolean(flags.force), mayLackLog: Boolean(flags.withoutLog) };
      await restore(file, db, { ...copying(terminal), ...allowed });
      terminal.stderr.write(`Restored ${db} from ${file}.\n`);
    });
}

/** Throws an Error for `-`, which in most programs means a standard stream. */
function requireName(file: string, reason: string): void {
  if (file === '-') throw new Error(`${reason}: name a file (./- for a file called -)`);
}

function copying({ stop, stderr }: Terminal): Copying {
  const onProgress = (share: number) => {
    if (stderr.isTTY) stderr.write(`\r${Math.floor(share * 100)} %\r`);
  };
  return { stop, onProgress };
}
