import type { Command } from 'commander';
import { readConfig } from '../../config/config.ts';
import { jsonLine, printable } from '../../terminal/printable.ts';
import { confirm, type Terminal, table } from '../../terminal/terminal.ts';
import { addSettings, withStore } from '../options.ts';
import { machinesJson, machinesTable } from './list.ts';
import { type Pruned, pruneMachines, pruneSnapshots } from './prune.ts';
import { withSurvey } from './survey.ts';

type PruneFlags = Record<string, unknown> & { dryRun?: boolean; yes?: boolean; json?: boolean };

export function machinesCommand(program: Command, terminal: Terminal): void {
  const { stdout, now } = terminal;
  const machines = program.command('machines').description('list the machines of all users, and remove stray ones');

  addSettings(machines.command('list'), ['db', 'machines', 'engine', 'msb'])
    .description('list the machines that the database or its drivers know; a server may run')
    .option('--json', 'print JSON')
    .action((flags) =>
      withStore(flags, (store) =>
        withSurvey(store, readConfig(flags), terminal, async ({ machines: seen }) => {
          stdout.write(flags.json ? machinesJson(seen) : machinesTable(seen, now()));
        }),
      ),
    );

  addSettings(machines.command('prune'), ['db', 'machines', 'engine', 'msb'])
    .description('remove machines and snapshots that nothing needs, e.g. those of sandboxes that have ended')
    .option('--dry-run', 'list them without removing them')
    .option('--yes', 'do not ask for confirmation; scripts are never asked')
    .option('--json', 'print JSON')
    .action((flags: PruneFlags) => prune(flags, terminal));
}

async function prune(flags: PruneFlags, terminal: Terminal): Promise<void> {
  const { stdout, stderr, now } = terminal;
  const isDryRun = flags.dryRun ?? false;
  if (!isDryRun) await confirm(terminal, 'Remove all machines and snapshots that nothing needs?', flags.yes);
  await withStore(flags, ({ db, sqlite }) =>
    withSurvey({ db }, readConfig(flags), terminal, async (survey) => {
      const settings = { db, now, isDryRun };
      const pruned = await pruneMachines(survey, settings);
      // After the machines, which may have used some.
      let wasSeen = survey.silent === 0;
      const snapshots = await pruneSnapshots(sqlite.name, survey.drivers, settings).catch((error: Error) => {
        wasSeen = false;
        stderr.write(`sandpit: snapshots could not be looked at: ${printable(error.message)}\n`);
        return [];
      });
      if (snapshots === null) stderr.write('Snapshots are left to the server that runs: it removes them itself.\n');
      report([...pruned, ...(snapshots ?? [])], flags, { stdout, stderr });
      if (!wasSeen) throw new Error('not all machines and snapshots could be looked at');
    }),
  );
}

/** Throws an Error if something could not be removed. */
function report(all: Pruned[], { json, dryRun = false }: PruneFlags, out: Pick<Terminal, 'stdout' | 'stderr'>): void {
  const [failed, done] = [all.filter(({ error }) => error !== null), all.filter(({ error }) => error === null)];
  const idsOf = (kind: Pruned['kind']) => done.filter((each) => each.kind === kind).map(({ id }) => id);
  const [machines, snapshots] = [idsOf('machine'), idsOf('snapshot')];
  const rows = done.map(({ kind, id, driver }) => [kind, id, driver]);
  const shown = { machines, snapshots, failed: failed.map(({ id }) => id), dry_run: dryRun };
  out.stdout.write(json ? jsonLine(shown) : table(['KIND', 'ID', 'DRIVER'], rows));
  for (const { kind, id, error } of failed)
    out.stderr.write(`sandpit: the ${kind} ${printable(id)} could not be removed: ${printable(String(error))}\n`);
  const did = dryRun ? 'Would remove' : 'Removed';
  out.stderr.write(`${did} ${counted(machines.length, 'machine')} and ${counted(snapshots.length, 'snapshot')}.\n`);
  if (failed.length > 0) throw new Error(`${failed.length} of ${all.length} could not be removed`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
