import type { Writable } from 'node:stream';
import { readConfig } from '../config/config.ts';
import { readEngineEnvironment, readEnvironment } from '../config/engine-environment.ts';
import { jsonLine, printable } from '../terminal/printable.ts';

type Line = { check: string; problems: string[]; note: string };

/**
 * Prints what runs machines here, best first, and what `serve` would choose for a new database.
 * Throws an Error if nothing does.
 */
export async function reportMachines(flags: Record<string, unknown>, stdout: Pick<Writable, 'write'>): Promise<void> {
  // Loaded here: the other checks need no engine.
  const { examineMachines } = await import('../machines/docker/examine/examine.ts');
  const { whyNot } = await import('../machines/microvm/why-not.ts');
  const { forgetTrials } = await import('../machines/microvm/remembered.ts');
  // The flag --machines is no setting here.
  const { db, engine, image, msb, json } = flags;
  const config = readConfig({ db, engine, image, msb });
  const noMicrovms = await whyNot(config.msb, readEnvironment());
  // What was wrong then may have been mended: the next start tries anew.
  forgetTrials(config.db);
  const microvm = { check: 'microvm', problems: noMicrovms ? [noMicrovms] : [], note: 'a small microVM booted' };
  const containers = await examineMachines(config, readEngineEnvironment());
  const wrong = containers.filter(({ problems }) => problems.length > 0).map(({ check }) => check);
  const hasEngine = !wrong.includes('engine');
  const best = noMicrovms === null ? 'microvm' : hasEngine ? 'docker' : 'none';
  const findings: Line[] = [microvm, ...containers, { check: 'auto', problems: [], note: `it would be ${best}` }];
  stdout.write(json ? jsonLine(findings) : findingLines(findings));
  // What auto does not take may be missing.
  if (best !== 'microvm' && wrong.length > 0)
    throw new Error(`${wrong.join(', ')}: machines can't run here as they should`);
}

/** Returns a line for each finding. */
export function findingLines(findings: Line[]): string {
  return findings.map(lineOf).join('');
}

function lineOf({ check, problems, note }: Line): string {
  return `${`${check}:`.padEnd(16)}${problems.length === 0 ? `ok, ${printable(note)}` : `WRONG, ${printable(problems.join('; '))}`}\n`;
}
