import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { getUser } from '../../db/accounts.ts';
import { defaultSize, type NewSandbox, SandboxInserter } from '../../db/insert.ts';
import { isObject, type JsonObject, maxDepth, parseJson } from '../../db/json.ts';
import { disorderOf } from '../../db/ordinals.ts';
import { reorder } from '../../db/reindex.ts';
import { exportSandboxes } from '../../db/sandboxes.ts';
import { type Trx, write } from '../../db/sqlite.ts';
import { checkerOf } from '../../spec/check.ts';
import { loadContract } from '../../spec/load.ts';
import type { components } from '../../spec/types.gen.ts';
import { addSettings, withStore } from './options.ts';
import { shownTime, type Terminal } from './terminal.ts';

type SandboxRecord = components['schemas']['SandboxRecord'];
type Exported = typeof exportSandboxes extends (...args: never[]) => AsyncIterable<infer Row> ? Row : never;

/** After so many sandboxes or entries of the index it is written, once for all of them. */
const importBatch = 10_000;
const maxPending = 250_000;

export function transferCommands(program: Command, terminal: Terminal): void {
  addSettings(program.command('import <file>'), ['db'])
    .description('add the sandboxes of a JSON lines file (- for standard input): all of them or, on any error, none')
    .action((file, flags) =>
      withStore(flags, async ({ db }) => {
        const count = await write(db, (trx) => importLines(trx, linesOf(file, terminal), terminal));
        terminal.stderr.write(`Imported ${count} sandboxes.\n`);
      }),
    );

  addSettings(program.command('export'), ['db'])
    .description('print every sandbox as JSON lines, oldest first')
    .option('--include-env', 'with the environment variables and the settings, which may hold secrets')
    .action((flags) =>
      withStore(flags, async ({ db }) => {
        for await (const row of exportSandboxes(db, Date.now())) {
          terminal.stop.throwIfAborted();
          if (!terminal.stdout.write(`${recordLine(row, flags.includeEnv)}\n`)) await once(terminal.stdout, 'drain');
        }
      }),
    );
}

/** Returns how many lines were added. Throws an Error that names the line. */
async function importLines(trx: Trx, lines: AsyncIterable<string>, { stderr, stop }: Terminal): Promise<number> {
  const check = checkerOf<SandboxRecord>(loadContract(), '#/components/schemas/SandboxRecord');
  const owners = new Map<string, number>();
  const inserter = new SandboxInserter(trx);
  let lineNumber = 0;
  let count = 0;
  for await (const line of lines) {
    stop.throwIfAborted();
    lineNumber++;
    if (line.trim() === '') continue;
    try {
      const record = recordOf(check(parseJson(line, maxDepth + 1)));
      const ownerId = owners.get(record.owner) ?? (await getUser(trx, record.owner)).id;
      owners.set(record.owner, ownerId);
      await inserter.add(toSandbox(record, ownerId));
    } catch (error) {
      throw new Error(`nothing was imported: line ${lineNumber}: ${(error as Error).message}`, { cause: error });
    }
    if (++count % importBatch > 0 && inserter.pending < maxPending) continue;
    await inserter.flush();
    if (stderr.isTTY) stderr.write(`\r${count} sandboxes`);
  }
  await inserter.flush();
  for (const ownerId of owners.values()) if ((await disorderOf(trx, ownerId)) > 0) await reorder(trx, ownerId);
  if (stderr.isTTY) stderr.write('\r');
  return count;
}

function linesOf(file: string, { stdin }: Terminal): AsyncIterable<string> {
  const input = file === '-' ? stdin : createReadStream(file);
  return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

function toSandbox(record: SandboxRecord, ownerId: number): NewSandbox {
  return {
    id: record.sandbox_id,
    ownerId,
    templateId: record.template_id ?? null,
    metadata: record.metadata as JsonObject,
    env: record.env ?? null,
    memoryMb: record.memory_mb ?? defaultSize.memoryMb,
    vcpuCount: record.vcpu_count ?? defaultSize.vcpuCount,
    startedAt: timeOf('started_at', record.started_at),
    endAt: record.end_at ? timeOf('end_at', record.end_at) : null,
    status: record.status,
    onTimeout: record.on_timeout,
    firstStartedAt: record.first_started_at ? timeOf('first_started_at', record.first_started_at) : null,
    settings: record.settings as JsonObject | undefined,
  };
}

/** A number that JavaScript can't hold is an object to the schema checker. */
function recordOf(record: SandboxRecord): SandboxRecord {
  for (const name of ['metadata', 'env', 'settings'] as const) {
    if (record[name] && !isObject(record[name])) throw new Error(`${name} must be object`);
  }
  return record;
}

/** Throws an Error for what the format allows and JavaScript can't read: a leap second, hours without minutes. */
function timeOf(name: string, text: string): number {
  const time = Date.parse(text);
  if (Number.isFinite(time)) return time;
  throw new Error(`${name} is no time that can be kept: ${text}`);
}

function recordLine(row: Exported, includeEnv: boolean): string {
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
  const secret = includeEnv ? member('env', row.env) + member('settings', row.settings) : '';
  return `${JSON.stringify(record).slice(0, -1)},"metadata":${row.metadata}${secret}}`;
}

function member(name: string, json: string | null): string {
  return json === null ? '' : `,"${name}":${json}`;
}
