import { styleText } from 'node:util';
import { printable } from '../../terminal/printable.ts';
import type { Outcome, Report, Result } from './report.ts';

type Paint = (color: 'green' | 'red' | 'yellow' | 'dim', text: string) => string;

const marks: Record<Outcome, { word: string; color: 'green' | 'red' | 'yellow' }> = {
  pass: { word: 'pass', color: 'green' },
  fail: { word: 'FAIL', color: 'red' },
  skip: { word: 'skip', color: 'yellow' },
};

/** Returns a function that colours text, on a terminal only. */
export function painter({ isTTY }: { isTTY?: boolean }): Paint {
  return (color, text) => (isTTY ? styleText(color, text, { validateStream: false }) : text);
}

/**
 * Returns a rule's result as a line; a failure adds the request, what was expected, and the answer.
 */
export function resultText(
  { id, title, outcome, source, why, failure }: Result,
  idWidth: number,
  paint: Paint,
): string {
  const { word, color } = marks[outcome];
  const line = `${paint(color, word)}  ${id.padEnd(idWidth)}  ${title}${why === undefined ? '' : paint('dim', `: ${why}`)}\n`;
  if (!failure) return line;
  const parts: [string, string][] = [
    ...(failure.request === null ? [] : [['request', failure.request] as [string, string]]),
    ['expected', failure.expected],
    ['contract', source],
    ['got', failure.got],
  ];
  return line + parts.map(([name, text]) => indented(name, printable(text, { lines: true }))).join('');
}

function indented(name: string, text: string): string {
  const [first, ...rest] = text.split('\n');
  return [`      ${name.padEnd(9)} ${first}\n`, ...rest.map((line) => `${' '.repeat(16)}${line}\n`)].join('');
}

/** Returns the last lines: errors, sandboxes that could not be made or ended, and counts. */
export function summaryText({ results, error, sandboxes, seed, requests, seconds }: Report, paint: Paint): string {
  const count = (outcome: Outcome) => results.filter((result) => result.outcome === outcome).length;
  const failed = count('fail');
  const lines = [
    ...(sandboxes.refused.length > 0
      ? [`${sandboxes.refused.length} sandboxes were not made: ${sandboxes.refused[0]}`]
      : []),
    ...sandboxes.left.map((one) => paint('red', `not ended: ${one}`)),
    ...(error === null
      ? []
      : [paint('red', error === 'interrupted' ? 'interrupted' : `could not be tested: ${error}`)]),
    `${count('pass')} passed, ${paint(failed > 0 ? 'red' : 'green', `${failed} failed`)}, ${count('skip')} skipped; ` +
      `seed ${seed}; ${requests} requests in ${seconds.toFixed(1)} s; ${endedText(sandboxes)}`,
  ];
  return `\n${lines.join('\n')}\n`;
}

function endedText({ made, left }: Report['sandboxes']): string {
  if (made === 0) return left.length === 0 ? 'no sandbox made' : 'a sandbox may be left';
  const all = made === 1 ? '1 sandbox made' : `${made} sandboxes made`;
  return left.length === 0 ? `${all} and ended` : `${all}, ${left.length} not ended`;
}
