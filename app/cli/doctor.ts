import type { Command } from 'commander';
import { examine, type Finding } from '../../db/sqlite/doctor/doctor.ts';
import { repair } from '../../db/sqlite/doctor/repair.ts';
import { openUnmigrated } from '../../db/sqlite/open.ts';
import { jsonLine, printable } from '../terminal/printable.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { findingLines, reportMachines } from './doctor-machines.ts';
import { addSettings, withStore } from './options.ts';

export function doctorCommand(program: Command, { stdout, stderr }: Terminal): void {
  addSettings(program.command('doctor'), ['db', 'msb', 'engine', 'image'])
    .description('check the database, its schema and its metadata index; exits with 1 if it finds a problem')
    .option('--machines', 'check instead whether machines can run here, by starting one')
    .option('--repair', 'rebuild derived data, then check again; writes wait until it is done')
    .option('--json', 'print JSON')
    .action(async (flags) => {
      if (flags.machines) return reportMachines(flags, stdout);
      const checkAndRepair = async (store: Parameters<typeof examine>[0]) => {
        const found = await examine(store);
        if (!flags.repair) return found;
        const repairs = await repair(store, found);
        stderr.write(repairs.map((done) => `Repair: ${printable(done)}.\n`).join(''));
        return repairs.length > 0 ? examine(store) : found;
      };
      const findings = await withStore(flags, checkAndRepair, { open: openUnmigrated });
      stdout.write(flags.json ? jsonLine(findings) : findingLines(findings));
      const wrong = findings.filter((finding) => !isFine(finding)).map(({ check }) => check);
      if (wrong.length > 0) throw new Error(verdict(wrong, flags.repair));
    });
}

function isFine({ problems }: Finding): boolean {
  return problems.length === 0;
}

function verdict(wrong: string[], repaired: boolean): string {
  const names = wrong.join(', ');
  return repaired
    ? `${names}: this can't be repaired: restore a backup, or export what can be read`
    : `${names}: problems found: --repair rebuilds derived data`;
}
