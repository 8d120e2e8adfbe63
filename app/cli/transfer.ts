import { once } from 'node:events';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { getUser } from '../../db/accounts/users.ts';
import { StoreError } from '../../db/errors.ts';
import { cli } from '../../db/events/record.ts';
import { type ExportedSandbox, exportSandboxes } from '../../db/sandboxes/lists/export.ts';
import { createPrivate, partialName, putInPlace, requireReplaceable } from '../../db/sqlite/copies/files.ts';
import { reasonOf } from '../../db/sqlite/driver/failures.ts';
import { type Db, inTransaction } from '../../db/store.ts';
import { type Clock, isoTimeOrNull } from '../../spec/time.ts';
import { importLines, SandboxImporter } from '../import/import.ts';
import type { SandboxRecord } from '../import/record.ts';
import { keptSettings } from '../network.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addSettings, withStore } from './options.ts';

export function transferCommands(program: Command, terminal: Terminal): void {
  addSettings(program.command('import <file>'), ['db'])
    .description('import sandboxes from a JSON lines file (- for standard input); on any error, none is imported')
    .action((file, flags) =>
      withStore(flags, async ({ db }) => {
        const count = await importFile(db, file, terminal);
        if (terminal.stderr.isTTY) terminal.stderr.write('\r');
        terminal.stderr.write(`Imported ${count} sandboxes.\n`);
      }),
    );

  addSettings(program.command('export'), ['db'])
    .description('export every sandbox as JSON lines, oldest first')
    .option('--include-env', 'include environment variables and settings, which may hold secrets')
    .option(
      '--output <file>',
      'file to write, readable only by you; it appears when it is complete (- for standard output)',
      '-',
    )
    .option('--force', 'replace an existing file')
    .action(({ output, force, ...flags }) =>
      withStore(flags, async ({ db, sqlite }) => {
        const lines = exportLines(db, terminal.now, flags.includeEnv);
        if (output === '-') return print(lines, terminal);
        requireReplaceable(output, force, sqlite.name);
        await writeWhole(output, lines, terminal.stop);
        terminal.stderr.write(`Exported to ${output}.\n`);
      }),
    );
}

async function* exportLines(db: Db, clock: Clock, includeEnv: boolean): AsyncGenerator<string> {
  for await (const row of exportSandboxes(db, clock)) yield `${recordLine(row, includeEnv)}\n`;
}

async function print(lines: AsyncIterable<string>, { stdout, stop }: Terminal): Promise<void> {
  for await (const line of lines) {
    stop.throwIfAborted();
    if (!stdout.write(line)) await once(stdout, 'drain', { signal: stop });
  }
}

/** Writes a complete file or none. Throws an Error that says why it can't be written. */
async function writeWhole(file: string, lines: AsyncIterable<string>, stop: AbortSignal): Promise<void> {
  const partial = partialName(file);
  try {
    createPrivate(partial);
    await pipeline(lines, createWriteStream(partial), { signal: stop });
    putInPlace(partial, file);
  } catch (error) {
    rmSync(partial, { force: true });
    if (stop.aborted || error instanceof StoreError) throw error;
    throw new Error(`can't write ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

async function importFile(db: Db, file: string, { stdin, stderr, stop, now }: Terminal): Promise<number> {
  return inTransaction(db, (trx) => {
    const importer = new SandboxImporter(trx, now, cli, (name) => getUser(trx, name));
    const onBatch = () => {
      if (stderr.isTTY) stderr.write(`\r${importer.count} sandboxes`);
    };
    return importLines(importer, file === '-' ? stdin : chunksOf(file), { stop, onBatch });
  });
}

/** Yields the file's bytes. Throws an Error that says why it can't be read. */
async function* chunksOf(file: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(file);
  } catch (error) {
    throw new Error(`can't read ${file}: ${readError(error)}`, { cause: error });
  }
}

function readError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such file',
    EISDIR: 'it is a folder',
    EACCES: 'this user may not read it',
  };
  return reasons[code ?? ''] ?? message;
}

function recordLine(row: ExportedSandbox, includeEnv: boolean): string {
  const record: Omit<SandboxRecord, 'metadata' | 'env' | 'settings'> = {
    sandbox_id: row.id,
    owner: row.owner,
    template_id: row.templateId,
    memory_mb: row.memoryMb,
    vcpu_count: row.vcpuCount as NonNullable<SandboxRecord['vcpu_count']>,
    started_at: isoTimeOrNull(row.startedAt) as string,
    end_at: isoTimeOrNull(row.endAt),
    status: row.status,
    ...(row.onTimeout !== 'kill' && { on_timeout: row.onTimeout }),
    ...(row.firstStartedAt !== null && { first_started_at: isoTimeOrNull(row.firstStartedAt) as string }),
  };
  const secret = includeEnv ? member('env', row.env) + member('settings', settingsText(row.settings)) : '';
  return `${JSON.stringify(record).slice(0, -1)},"metadata":${row.metadata}${secret}}`;
}

/** Returns settings in a form that an import accepts. */
function settingsText(stored: string | null): string | null {
  return stored === null ? null : JSON.stringify(keptSettings(JSON.parse(stored)));
}

function member(name: string, json: string | null): string {
  return json === null ? '' : `,"${name}":${json}`;
}
