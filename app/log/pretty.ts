import pretty from 'pino-pretty';

type Line = Record<string, unknown> & { msg: string };

/**
 * Returns a function that formats a JSON line for people. Control characters in the data are
 * escaped.
 */
export function prettyLines(isTTY: boolean): (line: string) => string {
  const print = pretty.prettyFactory({
    colorize: isTTY && pretty.isColorSupported,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return (line) => print(forPeople(JSON.parse(withoutControls(line))));
}

/**
 * Escapes control characters, including those of text direction, inside the strings of a JSON text:
 * the parsed strings contain `\u001b` as six characters.
 */
function withoutControls(json: string): string {
  return json.replace(/\\(u[0-9a-f]{4}|.)|[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (found, escaped?: string) => {
    if (escaped === undefined) return `\\\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
    // Line breaks stay: the stacks of errors have them.
    return /^[ubfr]/.test(escaped) ? `\\${found}` : found;
  });
}

/**
 * Turns the fields that every request has into a message. Other fields and lines stay as they are.
 */
function forPeople(line: Line): Line {
  if (line.msg !== 'request') return line;
  const { method, route, status, duration, owner, ...rest } = line;
  const who = owner === null ? '' : ` ${owner}`;
  return { ...rest, msg: `${method} ${route ?? '(unknown path)'} ${status} in ${duration} ms${who}` };
}
