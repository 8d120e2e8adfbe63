import { Turns } from '../../../db/turns.ts';
import type { Printed } from '../agent/processes.ts';

/** A line that a command printed. The machine chose all of it, its time included. */
export type Line = { at: number; pid: number; source: Printed['source']; text: string };

/** The most lines that are returned, and the most bytes that are searched for lines: the newest. */
export const maxLines = 10_000;
const maxBytes = 2 ** 20;

/** The last time whose year has four digits: RFC 3339 has no later ones. */
const latest = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * Returns the lines of output, oldest first. A line has the time at which its first byte was
 * printed. The last line of a source may be incomplete.
 */
export async function linesOf(printed: Printed[]): Promise<Line[]> {
  const turns = new Turns();
  const lines: Line[] = [];
  const open = new Map<string, Line & { bytes: Buffer[] }>();
  for (const { at, pid, source, bytes } of newest(printed)) {
    const key = `${source} ${pid}`;
    let start = 0;
    for (let end = bytes.indexOf(10); start < bytes.length; end = bytes.indexOf(10, start)) {
      const line = open.get(key) ?? { at: timeOf(at), pid, source, text: '', bytes: [] };
      line.bytes.push(bytes.subarray(start, end === -1 ? bytes.length : end));
      if (end === -1) open.set(key, line);
      else {
        open.delete(key);
        lines.push(complete(line));
        // The newest lines are all that is wanted, so that memory stays bounded.
        if (lines.length === 2 * maxLines) lines.splice(0, maxLines);
      }
      start = end === -1 ? bytes.length : end + 1;
      await turns.next();
    }
  }
  for (const line of open.values()) lines.push(complete(line));
  return lines.sort((a, b) => a.at - b.at).slice(-maxLines);
}

/** Returns the newest output, as much as is searched. */
function newest(printed: Printed[]): Printed[] {
  let room = maxBytes;
  const first = printed.findLastIndex(({ bytes }) => {
    room -= bytes.length;
    return room < 0;
  });
  return printed.slice(first + 1);
}

function complete({ at, pid, source, bytes }: Omit<Line, 'text'> & { bytes: Buffer[] }): Line {
  return { at, pid, source, text: Buffer.concat(bytes).toString().replace(/\r$/, '') };
}

function timeOf(at: number): number {
  return Math.min(Math.max(at, 0), latest);
}
