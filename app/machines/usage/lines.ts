import { Turns } from '../../../db/turns.ts';
import type { Printed } from '../agent/processes.ts';

/** A line that a command printed. The machine chose all of it, its time included. */
export type Line = { at: number; pid: number; source: Printed['source']; text: string };

/** The most lines that are returned, and the most bytes that are searched for them: the newest. */
export const maxLines = 10_000;
const maxBytes = 2 ** 20;

const newLine = 10;

/** The last time whose year has four digits: RFC 3339 has no later ones. */
const latest = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * Returns the lines of output, oldest first. A line has the time at which its first byte was
 * printed. The last line of a source may be incomplete.
 */
export async function linesOf(printed: Printed[]): Promise<Line[]> {
  const turns = new Turns();
  const lines: Line[] = [];
  const open = new Map<string, Open>();
  for (const item of newest(printed)) {
    addLines(item, lines, open);
    await turns.next();
  }
  for (const line of open.values()) lines.push(complete(line));
  return lines.sort((a, b) => a.at - b.at).slice(-maxLines);
}

/** A line whose end has not come yet, in pieces. */
type Open = Omit<Line, 'text'> & { bytes: Buffer[] };

/** Adds the lines that end in a piece of output, and keeps the beginning of the next. */
function addLines({ at, pid, source, bytes }: Printed, lines: Line[], open: Map<string, Open>): void {
  const key = `${source} ${pid}`;
  let line = open.get(key);
  let start = 0;
  for (let end = bytes.indexOf(newLine); end !== -1; end = bytes.indexOf(newLine, start)) {
    line ??= { at: timeOf(at), pid, source, bytes: [] };
    line.bytes.push(bytes.subarray(start, end));
    lines.push(complete(line));
    line = undefined;
    start = end + 1;
  }
  if (start < bytes.length) {
    line ??= { at: timeOf(at), pid, source, bytes: [] };
    line.bytes.push(bytes.subarray(start));
  }
  if (line) open.set(key, line);
  else open.delete(key);
}

/** Returns the newest output, as much as holds the lines that are wanted. */
function newest(printed: Printed[]): Printed[] {
  let [bytesLeft, linesLeft] = [maxBytes, maxLines];
  const first = printed.findLastIndex(({ bytes }) => {
    const isEnough = linesLeft <= 0;
    bytesLeft -= bytes.length;
    for (let at = bytes.indexOf(newLine); at !== -1; at = bytes.indexOf(newLine, at + 1)) linesLeft--;
    return isEnough || bytesLeft < 0;
  });
  return printed.slice(first + 1);
}

function complete({ at, pid, source, bytes }: Open): Line {
  const whole = bytes.length === 1 && bytes[0] ? bytes[0] : Buffer.concat(bytes);
  return { at, pid, source, text: whole.toString().replace(/\r$/, '') };
}

function timeOf(at: number): number {
  return Math.min(Math.max(at, 0), latest);
}
