import Database from 'better-sqlite3';
import { newestSandboxes } from '../../sides/sandpit.ts';

type Cells = [string, string | null, string, number, number | null, string];

/**
 * Opens a database file read-only. Returns a function that returns a user's newest sandboxes as
 * JSON text, without parsing metadata.
 */
export function openRows(file: string, user: string): (limit: number) => string {
  const select = new Database(file, { readonly: true }).prepare(newestSandboxes).raw();
  return (limit) => `[${(select.all(user, limit) as Cells[]).map(textOf).join(',')}]`;
}

/** Returns the limit in a request's URL. */
export function limitOf(url: string): number {
  return Number(/[?&]limit=(\d+)/.exec(url)?.[1] ?? 100);
}

function textOf([id, template, metadata, startedAt, endAt, stored]: Cells): string {
  const status = stored === 'active' && endAt !== null && endAt <= Date.now() ? 'killed' : stored;
  const end = status === 'active' && endAt !== null ? `"${isoTime(endAt)}"` : null;
  const templateText = JSON.stringify(template);
  return (
    `{"sandbox_id":"${id}","template_id":${templateText},"name":${template === null ? '"default"' : templateText},` +
    `"metadata":${metadata},"started_at":"${isoTime(startedAt)}","end_at":${end},"status":"${status}"}`
  );
}

const days = new Map<number, string>();
const dayLength = 86_400_000;

/** Caches the formatted day, because formatting it is the expensive part. */
function isoTime(milliseconds: number): string {
  const day = Math.floor(milliseconds / dayLength);
  const date = days.get(day) ?? new Date(milliseconds).toISOString().slice(0, 11);
  days.set(day, date);
  const rest = milliseconds - day * dayLength;
  const [hours, minutes] = [Math.floor(rest / 3_600_000), Math.floor(rest / 60_000) % 60];
  const seconds = Math.floor(rest / 1000) % 60;
  return `${date}${two(hours)}:${two(minutes)}:${two(seconds)}.${String(rest % 1000).padStart(3, '0')}Z`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}
