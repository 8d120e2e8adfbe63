import type { Command } from 'commander';
import { checkIndex } from '../../db/reindex.ts';
import { addSettings, withStore } from './options.ts';
import type { Terminal } from './terminal.ts';

export function doctorCommand(program: Command, { stdout }: Terminal): void {
  addSettings(program.command('doctor'), ['db'])
    .description('check that the metadata index agrees with every document')
    .action((flags) =>
      withStore(flags, async ({ db }) => {
        const { sandboxes, errors } = await checkIndex(db);
        if (errors.length > 0) throw new Error(`the metadata index is wrong:\n${errors.join('\n')}`);
        stdout.write(`The metadata index agrees with all ${sandboxes} sandboxes.\n`);
      }),
    );
}
