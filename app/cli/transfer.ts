import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import { getUser } from '../../db/accounts.ts';
import { cli } from '../../db/events.ts';
import { type ExportedSandbox, exportSandboxes } from '../../db/export.ts';
import { type Db, write } from '../../db/sqlite.ts';
import { knownSettings } from '../e2b-network.ts';
import { importLines, linesOf, RecordImporter, type SandboxRecord } from '../records.ts';
import { addSettings, withStore } from './options.ts';
import { shownTime, type Terminal } from './terminal.ts';

export function transferCommands(program: Command, terminal: Terminal): void {
  addSettings(program.command('import <file>'), ['db'])
    .description('add the sandboxes of a JSON lines file (- for standard input): all of them or, on any error, none')
    .action((file, flags) =>
      withStore(flags, async ({ db }) => {
        const count = await importFile(db, file, terminal);
        if (terminal.stderr.isTTY) terminal.stderr.write('\r');
        terminal.stderr.write(`Imported ${count} sandboxes.\n`);
      }),
    );

  addSettings(program.command('export'), ['db'])
    .description('print every sandbox as JSON lines, oldest first')
    .option('--include-env', 'with the environment variables and the settings, which may hold secrets')
    .action((flags) =>
      withStore(flags, async ({ db }) => {
        for await (const row of exportSandboxes(db, terminal.now)) {
          terminal.stop.throwIfAborted();
          if (!terminal.stdout.write(`${recordLine(row, flags.includeEnv)}\n`))
            await once(terminal.stdout, 'drain', { signal: terminal.stop });
        }
      }),
    );
}

async function importFile(db: Db, file: string, { stdin, stderr, stop, now }: Terminal): Promise<number> {
  return write(db, (trx) => {
    const importer = new RecordImporter(trx, now, cli, (name) => getUser(trx, name));
    const onBatch = () => {
      if (stderr.isTTY) stderr.write(`\r${importer.count} sandboxes`);
    };
    return importLines(importer, linesOf(file === '-' ? stdin : createReadStream(file)), { stop, onBatch });
  });
}

function recordLine(row: ExportedSandbox, includeEnv: boolean): string {
  const record: Omit<SandboxRecord, 'metadata' | 'env' | 'settings'> = {
    sandbox_id: row.id,
    owner: row.owner,
    template_id: row.templateId,
    memory_mb: row.memoryMb,
    vcpu_count: row.vcpuCount as NonNullable<SandboxRecord['vcpu_count']>,
    started_at: shownTime(row.startedAt) as string,
    end_at: shownTime(row.endAt),
    status: row.status,
    ...(row.onTimeout !== 'kill' && { on_timeout: row.onTimeout }),
    ...(row.firstStartedAt !== null && { first_started_at: shownTime(row.firstStartedAt) as string }),
  };
  const secret = includeEnv ? member('env', row.env) + member('settings', knownSettings(row.settings)) : '';
  return `${JSON.stringify(record).slice(0, -1)},"metadata":${row.metadata}${secret}}`;
}

function member(name: string, json: string | null): string {
  return json === null ? '' : `,"${name}":${json}`;
}
