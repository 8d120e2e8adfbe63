import { type HeldSnapshot, heldSnapshots } from '../../../db/machines/snapshots.ts';
import { listTemplates } from '../../../db/machines/templates.ts';
import type { Store } from '../../../db/store.ts';
import { isoTimeOrNull } from '../../../spec/time.ts';
import { readConfig } from '../../config/config.ts';
import { type Template, withBase } from '../../machines/images/images.ts';
import { jsonLine } from '../../terminal/printable.ts';
import { table } from '../../terminal/terminal.ts';

/** Returns the output of `sandpit templates list`: templates, then snapshots that take disk. */
export async function listing({ db }: Pick<Store, 'db'>, flags: { json?: boolean }): Promise<string> {
  const templates = withBase(await listTemplates(db), readConfig(flags));
  const snapshots = await heldSnapshots(db);
  if (flags.json) return jsonLine([...templates.map(templateJson), ...snapshots.map(snapshotJson)]);
  return templatesTable(templates) + (snapshots.length === 0 ? '' : `\n${snapshotsTable(snapshots)}`);
}

function templateJson({ name, image, allowsSudo, runtime, setup, createdAt }: Template) {
  const commands = { start: setup?.startCmd ?? null, ready: setup?.readyCmd ?? null };
  return { name, image, allows_sudo: allowsSudo, runtime, ...commands, created_at: isoTimeOrNull(createdAt) };
}

function snapshotJson({ id, name, owner, driver, hasMemory, sizeBytes, createdAt }: HeldSnapshot) {
  const what = { driver, has_memory: hasMemory, size_bytes: sizeBytes };
  return { snapshot_id: id, name, owner, ...what, created_at: isoTimeOrNull(createdAt) };
}

function templatesTable(templates: Template[]): string {
  const rows = templates.map(({ name, image, allowsSudo, runtime, setup, createdAt }) => [
    name,
    image,
    allowsSudo ? 'yes' : 'no',
    runtime,
    short(setup?.startCmd),
    short(setup?.readyCmd),
    isoTimeOrNull(createdAt),
  ]);
  return table(['NAME', 'IMAGE', 'SUDO', 'RUNTIME', 'START', 'READY', 'CREATED'], rows);
}

/** Returns a command as a table has room for it; --json has all of it. */
function short(command: string | null | undefined): string | null {
  if (command == null) return null;
  return command.length > 30 ? `${command.slice(0, 29)}…` : command;
}

function snapshotsTable(snapshots: HeldSnapshot[]): string {
  const rows = snapshots.map(({ id, name, owner, hasMemory, sizeBytes, createdAt }) => [
    id,
    name,
    owner,
    hasMemory ? 'yes' : 'no',
    megabytes(sizeBytes),
    isoTimeOrNull(createdAt),
  ]);
  // Snapshots that share what the driver holds take its disk once.
  const sizes = new Map(snapshots.map(({ ref, sizeBytes }) => [ref, sizeBytes]));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const shown = table(['SNAPSHOT', 'NAME', 'USER', 'MEMORY', 'SIZE', 'CREATED'], rows);
  return `${shown}All snapshots take ${megabytes(total)}.\n`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
