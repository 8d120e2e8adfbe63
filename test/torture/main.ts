import { join } from 'node:path';
import { temporaryDirectory } from '../bench/cleanup.ts';
import { runProgram } from '../bench/program.ts';
import { clearProgress, progress } from '../bench/progress.ts';
import { startEngine } from '../machines/engines/engines.ts';
import type { MachineOptions, MachineResult } from './machines/trial.ts';
import { type Options, readOptions, usage } from './options.ts';
import { diskSummary, isClean, machineSummary, summary } from './report.ts';
import { tortureFull, tortureReadOnly } from './trials/disks.ts';
import { torture } from './trials/kills.ts';
import { tortureMachines } from './trials/machines.ts';

async function main(args: string[]): Promise<boolean> {
  const { help, ...options } = readOptions(args);
  if (help) {
    process.stdout.write(usage);
    return true;
  }
  const dir = temporaryDirectory(options.dir);
  if (options.machines) {
    const result = await tortureOn({ ...options, file: join(dir, 'sandpit.db'), report: progress });
    show(machineSummary(result));
    return result.problems.length === 0;
  }
  const killed = await torture({ ...options, file: join(dir, 'sandpit.db'), report: progress });
  show(summary(killed));
  progress('a full disk');
  const full = await tortureFull(dir, options.seed);
  show(diskSummary('a full disk', full));
  progress('a read-only disk');
  const readOnly = await tortureReadOnly(dir, join(dir, 'disk.img'), options.seed);
  show(diskSummary('a read-only disk', readOnly));
  return [killed, full, readOnly].every((result) => result === null || isClean(result));
}

/** Starts the engine if the options name one. */
async function tortureOn({ engine, ...options }: Options & Omit<MachineOptions, 'engine'>): Promise<MachineResult> {
  if (typeof engine !== 'string') return tortureMachines({ ...options, engine });
  const started = await startEngine(engine);
  try {
    return await tortureMachines({ ...options, engine: started });
  } finally {
    await started.stop();
  }
}

function show(text: string): void {
  clearProgress();
  process.stdout.write(text);
}

await runProgram(main, usage);
