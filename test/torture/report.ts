import type { MachineResult } from './machines/trial.ts';
import type { Tally } from './model/client.ts';
import type { Findings } from './model/verify.ts';
import type { DiskResult } from './trials/disks.ts';
import type { KillResult } from './trials/kills.ts';

/** Returns whether no error was found. */
export function isClean(result: Findings & Pick<Tally, 'lies'>): boolean {
  return problemsOf(result).length === 0;
}

/** Returns all errors found. */
export function problemsOf({ lost, half, index, integrity, lies }: Findings & Pick<Tally, 'lies'>): string[] {
  return [...lost, ...half, ...index, ...integrity, ...lies];
}

const maxProblems = 10;

/** Returns the results of the kills as lines of text. */
export function summary(result: KillResult): string {
  const lines = [
    ['seed', result.seed],
    ['kills', `${result.kills}, of them ${result.atStart} during a start`],
    ['acknowledged writes', result.acknowledged],
    ['sandboxes at the end', result.sandboxes],
    ...findingLines(result),
  ];
  return `${table(lines)}${listing(problemsOf(result))}`;
}

/** Returns the result of a disk trial as lines of text. */
export function diskSummary(name: string, result: DiskResult | null): string {
  if (result === null) return `\n${name}: skipped, this user can't mount a file system\n`;
  const refused = Object.entries(result.refused).map(([status, count]) => `${count} with ${status}`);
  const lines = [
    ['acknowledged writes', `${result.acknowledged}, of them ${result.recovered} after it without a restart`],
    ['refused', refused.join(', ')],
    ['reads meanwhile', result.reads],
    ...findingLines(result),
  ];
  return `\n${name}\n${table(lines)}${listing(problemsOf(result))}`;
}

/** Returns the result of the kills of a server with machines as lines of text. */
export function machineSummary({ seed, kills, created, interrupted, caught, problems }: MachineResult): string {
  const { unmade, unready, ended, running, unpaused } = caught;
  const machines = [
    `${unmade} before they were made`,
    `${unready} before they were ready`,
    `${ended} before they were removed`,
    `${unpaused} that had expired and still ran`,
  ];
  const lines = [
    ['seed', seed],
    ['kills', kills],
    ['sandboxes created', created],
    ['verbs interrupted', Object.entries(interrupted).map(([verb, count]) => `${count} ${verb}`)],
    ['machines caught', machines],
    ['machines kept', running],
    ['problems', problems.length],
  ];
  return `${table(lines.map(([name, value]) => [String(name), [value].flat().join(', ')]))}${listing(problems)}`;
}

function findingLines({ lost, half, index, integrity, lies }: Findings & Pick<Tally, 'lies'>) {
  return [
    ['lost', lost.length],
    ['half there', half.length],
    ['index errors', index.length],
    ['wrong answers', lies.length],
    ['integrity', integrity.length === 0 ? 'ok' : `${integrity.length} errors`],
  ];
}

function table(lines: (string | number)[][]): string {
  return lines.map(([name, value]) => `${String(name).padEnd(22)}${value}\n`).join('');
}

function listing(problems: string[]): string {
  return problems
    .slice(0, maxProblems)
    .map((line) => `  ${line}\n`)
    .join('');
}
