import { join } from 'node:path';
import { cleanUp, cleanUpOnSignals, isEnding, temporaryDirectory } from '../bench/cleanup.ts';
import { clearProgress, note, progress } from '../bench/progress.ts';
import { readOptions, UsageError, usage } from './options.ts';
import { diskSummary, isClean, summary } from './report.ts';
import { tortureFull, tortureReadOnly } from './trials/disks.ts';
import { torture } from './trials/kills.ts';

async function main(args: string[]): Promise<boolean> {
  const { help, ...options } = readOptions(args);
  if (help) {
    process.stdout.write(usage);
    return true;
  }
  const dir = temporaryDirectory(options.dir);
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

function show(text: string): void {
  clearProgress();
  process.stdout.write(text);
}

cleanUpOnSignals();
try {
  if (!(await main(process.argv.slice(2)))) process.exitCode = 1;
} catch (error) {
  const { code, message, stack } = error as NodeJS.ErrnoException;
  const isUsage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS');
  if (!isEnding()) note(isUsage ? `${message}\n\n${usage}` : String(stack));
  process.exitCode = 1;
} finally {
  await cleanUp();
}
