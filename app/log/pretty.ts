import pretty from 'pino-pretty';

type Line = Record<string, unknown> & { msg: string };

/** Returns a function that turns a line of JSON into one for people. Nobody's data can steer the terminal. */
export function prettyLines(isTTY: boolean): (line: string) => string {
  const print = pretty.prettyFactory({
    colorize: isTTY && pretty.isColorSupported,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return (line) => print(forPeople(JSON.parse(withoutControls(line))));
}

/** Returns the JSON with control characters, those of text direction included, written out: `\u001b` in a string. */
function withoutControls(json: string): string {
  return json.replace(/\\(u[0-9a-f]{4}|.)|[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (found, escaped?: string) => {
    if (escaped === undefined) return `\\\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
    // A line break stands in the stacks of errors.
    return /^[ubfr]/.test(escaped) ? `\\${found}` : found;
  });
}

/** A request's line says in words what every such line has; the rest stays as it is. */
function forPeople(line: Line): Line {
  if (line.msg !== 'request') return line;
  const { method, route, status, duration, owner, ...rest } = line;
  const who = owner === null ? '' : ` ${owner}`;
  return { ...rest, msg: `${method} ${route ?? '(no such path)'} ${status} in ${duration} ms${who}` };
}
