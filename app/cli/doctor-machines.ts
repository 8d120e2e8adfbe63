import type { Writable } from 'node:stream';
import { readConfig } from '../config/config.ts';
import { readEngineEnvironment } from '../config/engine-environment.ts';
import { jsonLine, printable } from '../terminal/printable.ts';

/** Prints what machines can do here. Throws an Error if they can't run. */
export async function reportMachines(flags: Record<string, unknown>, stdout: Pick<Writable, 'write'>): Promise<void> {
  // Loaded here: the other checks need no engine.
  const { examineMachines } = await import('../machines/docker/examine/examine.ts');
  // The flag --machines is no setting here.
  const { engine, image, json } = flags;
  const findings = await examineMachines(readConfig({ engine, image }), readEngineEnvironment());
  stdout.write(json ? jsonLine(findings) : findingLines(findings));
  const wrong = findings.filter(({ problems }) => problems.length > 0).map(({ check }) => check);
  if (wrong.length > 0) throw new Error(`${wrong.join(', ')}: machines can't run here as they should`);
}

/** Returns a line for each finding. */
export function findingLines(findings: { check: string; problems: string[]; note: string }[]): string {
  return findings.map(lineOf).join('');
}

function lineOf({ check, problems, note }: { check: string; problems: string[]; note: string }): string {
  return `${`${check}:`.padEnd(16)}${problems.length === 0 ? `ok, ${printable(note)}` : `WRONG, ${printable(problems.join('; '))}`}\n`;
}
