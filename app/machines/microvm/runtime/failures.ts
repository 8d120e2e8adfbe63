import { stripVTControlCharacters } from 'node:util';
import { MachineError, type MachineErrorCode } from '../../error.ts';

const mostCharacters = 400;

/** What msb says, and what it means; the first that matches counts. */
const meanings: [RegExp, MachineErrorCode][] = [
  [/sandbox not found|not running|is stopped|no such sandbox|sandbox has (stopped|exited)/i, 'gone'],
  [
    /(image|snapshot) not (cached|found)|manifest unknown|name unknown|repository does not exist|unauthorized|denied: /i,
    'no_image',
  ],
  [/no space left|cannot allocate memory|out of memory|insufficient (memory|space)|quota|memory budget/i, 'full'],
  [/unrecognized subcommand|unexpected argument|not supported by this backend/i, 'unsupported'],
  [/timed out|deadline/i, 'timeout'],
  [/kvm|virtualization|dns error|connection refused|network is unreachable|error sending request/i, 'unavailable'],
];

/**
 * What msb says when its own patience ends under load, and of a machine that an interrupted call
 * has left: the same call works once that is removed.
 */
const passing =
  /runtime version probe timed out|does not support network\.http\.deny_response|sandbox already exists|endpoint may still be live/i;

/** Returns msb's words on one line: what went wrong first, then its hints. */
export function msbWords(stderr: string): string {
  const lines = stripVTControlCharacters(stderr)
    .split('\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a log.
    .map((line) => line.replace(/[\u0000-\u001f]/g, ' ').trim());
  const start = lines.findIndex((line) => line.startsWith('error:'));
  const words = lines
    .slice(Math.max(start, 0))
    .map((line) => line.replace(/^(error:|→|caused by:)\s*/i, ''))
    .filter((line) => line !== '')
    .join('; ');
  return words.length > mostCharacters ? `${words.slice(0, mostCharacters)}...` : words || 'it gave no reason';
}

/** Returns the error for a call of msb that failed; `doing` says what it was for. */
export function msbError(doing: string, stderr: string): MachineError {
  const words = msbWords(stderr);
  const code = meanings.find(([pattern]) => pattern.test(words))?.[1] ?? 'failed';
  return new MachineError(code, `microsandbox could not ${doing}: ${words}`);
}

/** Returns whether the same call may work a moment later. */
export function isPassing(error: unknown): boolean {
  return error instanceof MachineError && passing.test(error.message);
}
