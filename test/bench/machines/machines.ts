import { startEngine } from '../../machines/engines/engines.ts';
import { atEnd, isEnding } from '../cleanup.ts';
import type { Bench, Options } from '../options.ts';
import { note, trial } from '../progress.ts';
import { measureFile, measureOutput } from './bytes.ts';
import { measureCreate, measureEcho, measureKill, measureRun, measureWrites } from './calls.ts';
import { measureCopies, measurePause } from './copies.ts';
import { measureMany } from './many.ts';
import type { MachineRow } from './measured.ts';
import { measureMixed } from './mixed.ts';
import { measurePorts } from './ports.ts';
import { type Subject, startSubject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

/** Measures every bar of machines on each engine that the options name, which it starts itself. */
export async function measureMachines({ options, dir }: Bench): Promise<MachineRow[]> {
  const rows: MachineRow[] = [];
  for (const name of options.engines) {
    // Ended by a signal: what has begun is being cleaned up.
    if (isEnding()) break;
    const engine = await startEngine(name);
    let stopping: Promise<void> | undefined;
    const stop = () => {
      stopping ??= engine.stop();
      return stopping;
    };
    atEnd(stop);
    const subject = await startSubject(engine, dir);
    const found = await measureEngine(subject, dir, options);
    rows.push(...found.map((row) => ({ engine: name, ...row })));
    await subject.stop();
    await stop();
  }
  return rows;
}

async function measureEngine(subject: Subject, dir: string, { seconds, filter }: Options): Promise<Row[]> {
  const sandbox = await subject.Sandbox.create({ timeoutMs: 3_600_000 });
  const steps: [string, () => Promise<Row | Row[]>][] = [
    ['commands', () => measureRun(sandbox)],
    ['creates', () => measureCreate(subject)],
    ['output', () => measureOutput(subject, sandbox)],
    ['a large file', () => measureFile(subject, sandbox)],
    ['small files', () => measureWrites(sandbox)],
    ['terminal', () => measureEcho(sandbox)],
    ['ports', () => measurePorts(subject, sandbox)],
    ['kills', () => measureKill(subject)],
    ['pauses', () => measurePause(subject)],
    ['snapshots and forks', () => measureCopies(subject)],
    ['the end of the first machine', () => sandbox.kill().then(() => [])],
    ['many machines', () => measureMany(subject, dir)],
    ['mixed calls', () => measureMixed(subject, seconds * 1000)],
  ];
  const rows: Row[] = [];
  for (const [title, measure] of steps.filter(([name]) => filter.test(name))) {
    trial(`machines of ${subject.engine.engine}: ${title}`);
    try {
      rows.push(...[await measure()].flat());
    } catch (error) {
      // One bar that can't be measured must not hide the others.
      note(`machines of ${subject.engine.engine}: ${title}: ${String(error)}`);
      rows.push({ what: title, bar: 'measured', measured: String(error).slice(0, 80), met: false });
    }
  }
  return rows;
}
