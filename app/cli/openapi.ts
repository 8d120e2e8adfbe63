import type { Command } from 'commander';
import { contractText, loadContract } from '../../spec/load.ts';
import type { Terminal } from '../terminal/terminal.ts';

export function openapiCommand(program: Command, { stdout }: Terminal): void {
  program
    .command('openapi')
    .description('print the contract (openapi.yaml)')
    .option('--json', 'print JSON')
    .action(({ json }) => void stdout.write(json ? `${JSON.stringify(loadContract(), null, 2)}\n` : contractText));
}
