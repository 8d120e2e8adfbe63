import { isoTimeOrNull } from '../../../spec/time.ts';
import { jsonLine } from '../../terminal/printable.ts';
import { table } from '../../terminal/terminal.ts';
import type { Seen } from './survey.ts';

const headings = ['SANDBOX', 'USER', 'STATUS', 'MACHINE', 'DRIVER', 'IMAGE', 'AGE', 'MEMORY MB'];

export function machinesTable(machines: Seen[], now: number): string {
  const rows = machines.map(({ id, driver, state, record }) => [
    id,
    record?.owner ?? null,
    record?.status ?? null,
    state === 'unknown' ? `unknown (was ${record?.state})` : state,
    driver,
    record?.image ?? null,
    record ? age(now - record.createdAt) : null,
    record?.memoryMb ?? null,
  ]);
  return table(headings, rows);
}

export function machinesJson(machines: Seen[]): string {
  const shown = machines.map(({ id, driver, state, record }) => ({
    sandbox_id: id,
    owner: record?.owner ?? null,
    status: record?.status ?? null,
    state,
    recorded_state: record?.state ?? null,
    driver,
    image: record?.image ?? null,
    created_at: isoTimeOrNull(record?.createdAt ?? null),
    memory_mb: record?.memoryMb ?? null,
  }));
  return jsonLine(shown);
}

const units = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
] as const;

/** Returns a time span in its largest unit, rounded down, e.g. `3h`. */
function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [unit, size] = units.find(([, each]) => seconds >= each) ?? ['s', 1];
  return `${Math.floor(seconds / size)}${unit}`;
}
