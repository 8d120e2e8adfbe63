import type { Command } from 'commander';
import { integer } from '../config/readers.ts';
import type { Flags } from '../conform/command.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { asFlag } from './options.ts';

const description = `test any server against the contract of GET /v1/sessions/sandboxes

Makes a few sandboxes, lists them with valid and invalid requests of every kind, and ends them, even after an error. Exits with 0 if every rule that ran passed. It never ends a sandbox that it did not make.`;

export function conformCommand(program: Command, terminal: Terminal): void {
  program
    .command('conform')
    .summary('test any server against the contract')
    .description(description)
    .option('--url <url>', 'URL of the server, without /v1 (SANDPIT_CONFORM_URL)')
    .option('--api-key <key>', 'API key, sent as X-API-Key (SANDPIT_CONFORM_API_KEY)')
    .option(
      '--bearer <token>',
      'access token of the same account, sent as Authorization: Bearer (SANDPIT_CONFORM_BEARER)',
    )
    .option('--second-api-key <key>', 'API key of another account, to test isolation (SANDPIT_CONFORM_SECOND_API_KEY)')
    .option('--existing', 'send GET requests only, and test with existing sandboxes')
    .option('--sandboxes <number>', 'how many sandboxes to make; some rules need 101', number(1, 1000), 12)
    .option('--template <name>', 'template of the sandboxes (default: the server chooses)')
    .option('--documented-only', 'skip rules that do not quote the documented page')
    .option('--rule <id...>', 'run only these rules')
    .option('--list-rules', 'print the rules and their sources, and exit')
    .option('--seed <number>', 'seed of generated requests (default: random; it is printed)', number(0, 2 ** 31 - 1))
    .option('--generated <number>', 'how many requests a rule generates', number(1, 100_000), 50)
    .option('--max-requests <number>', 'limit of requests in all', number(1, 1_000_000), 3000)
    .option('--max-seconds <seconds>', 'time limit in all', number(1, 80_000), 120)
    .option('--request-seconds <seconds>', 'time limit of one request', number(1, 600), 15)
    .option(
      '--settle-seconds <seconds>',
      'how long an ended sandbox may take to be listed as killed',
      number(0, 600),
      5,
    )
    .option('--json', 'print the report as one JSON document')
    .option('--junit <file>', 'also write a JUnit XML report')
    .action(async (flags: Flags) => (await import('../conform/command.ts')).conform(flags, terminal));
}

function number(minimum: number, maximum: number): (text: string) => number {
  return asFlag(integer(minimum, maximum));
}
