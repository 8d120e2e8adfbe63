import { type Command, Option } from 'commander';
import { getUser } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../../db/json/json.ts';
import { findMatching, type KillCriteria, killMatching, type Match } from '../../db/sandboxes/kill.ts';
import { inSnapshot, inTransaction, type Trx } from '../../db/store.ts';
import { isoTimeOrNull } from '../../spec/time.ts';
import { duration } from '../config/readers.ts';
import { jsonLine } from '../terminal/printable.ts';
import { confirm, type Terminal, table } from '../terminal/terminal.ts';
import { addSettings, asFlag, withStore } from './options.ts';

type Flags = {
  metadata?: JsonObject;
  status?: 'active' | 'paused';
  olderThan?: number;
  user?: string;
  limit?: number;
  all?: boolean;
  dryRun?: boolean;
  yes?: boolean;
  json?: boolean;
};

export function killCommand(program: Command, terminal: Terminal): void {
  addSettings(program.command('kill'), ['db'])
    .description('end the sandboxes of all users that match every given option; on any error, none is ended')
    .option('--metadata <json>', 'only sandboxes whose metadata contains this JSON object', asFlag(readFilter))
    .addOption(new Option('--status <status>', 'only sandboxes with this status').choices(['active', 'paused']))
    .option('--older-than <duration>', 'only sandboxes that started at least this long ago, e.g. 2h', asFlag(duration))
    .option('--user <name>', "only this user's sandboxes")
    .option('--limit <number>', 'end at most this many, user by user, oldest first', asFlag(readLimit))
    .option('--all', 'end all sandboxes')
    .option('--dry-run', 'list the sandboxes without ending them')
    .option('--yes', 'with --all: do not ask for confirmation; scripts are never asked')
    .option('--json', 'print JSON')
    .action((flags: Flags) =>
      withStore(flags, async ({ db }) => {
        const criteria = criteriaOf(flags);
        const owners = flags.user === undefined ? 'of all users' : `of ${flags.user}`;
        if (flags.all && !flags.dryRun) await confirm(terminal, `End all sandboxes ${owners}?`, flags.yes);
        const work = (trx: Trx) => killAll(trx, terminal.now(), criteria, flags);
        const found = await (flags.dryRun ? inSnapshot(db, work) : inTransaction(db, work));
        terminal.stdout.write(flags.json ? asJson(found, flags) : asTable(found));
        const did = flags.dryRun ? 'Would end' : 'Ended';
        terminal.stderr.write(`${did} ${found.length} sandbox${found.length === 1 ? '' : 'es'}.\n`);
      }),
    );
}

type Found = Match & { owner: string };

async function killAll(trx: Trx, now: number, criteria: KillCriteria, { user, dryRun }: Flags): Promise<Found[]> {
  const everyone = trx.selectFrom('users').select(['id', 'name']).orderBy('name');
  const owners = user === undefined ? await everyone.execute() : [await getUser(trx, user)];
  const found: Found[] = [];
  for (const { id: ownerId, name: owner } of owners) {
    const limit = criteria.limit === null ? null : criteria.limit - found.length;
    if (limit === 0) break;
    const { sandboxes } = await (dryRun
      ? findMatching(trx, now, ownerId, { ...criteria, limit })
      : killMatching(trx, () => now, { ...cli, ownerId }, { ...criteria, limit }));
    found.push(...sandboxes.map((sandbox) => ({ ...sandbox, owner })));
  }
  return found;
}

/** Throws an Error if no option limits what to end. */
function criteriaOf({ metadata = {}, status, olderThan, limit, all }: Flags): KillCriteria {
  if (Object.keys(metadata).length === 0 && !status && olderThan === undefined && !all) {
    throw new Error('choose with --metadata, --status or --older-than, or use --all');
  }
  const olderThanSeconds = olderThan === undefined ? null : olderThan / 1000;
  return { metadata, statuses: status ? [status] : ['active', 'paused'], olderThanSeconds, limit: limit ?? null };
}

function asTable(found: Found[]): string {
  const rows = found.map(({ id, owner, status, startedAt }) => [id, owner, status, isoTimeOrNull(startedAt)]);
  return table(['ID', 'USER', 'STATUS', 'STARTED'], rows);
}

function asJson(found: Found[], { dryRun = false }: Flags): string {
  return jsonLine({ ids: found.map(({ id }) => id), count: found.length, dry_run: dryRun });
}

function readFilter(text: string): JsonObject {
  const filter = parsed(text);
  if (isObject(filter)) return filter;
  throw new Error('must be a JSON object');
}

function parsed(text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(`must be a JSON object: ${(error as Error).message}`, { cause: error });
  }
}

function readLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error('must be a whole number above 0');
}
