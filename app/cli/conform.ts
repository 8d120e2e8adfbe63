import type { Command } from 'commander';
import { integer } from '../config/readers.ts';
import type { Flags } from '../conform/command.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { asFlag } from './options.ts';

const description = `test any server against the contract of GET /v1/sessions/sandboxes

Makes a few sandboxes of its own, asks for them in every way the contract allows and refuses, and ends them, whatever happens. Exits with 0 when all that ran passed. It never ends a sandbox that it did not make.`;

export function conformCommand(program: Command, terminal: Terminal): void {
  program
    .command('conform')
    .summary('test any server against the contract')
    .description(description)
    .option('--url <url>', 'where the server answers, without /v1 (SANDPIT_CONFORM_URL)')
    .option('--api-key <key>', 'sent as X-API-Key (SANDPIT_CONFORM_API_KEY)')
    .option('--bearer <token>', 'a token of the same account, sent as Authorization: Bearer (SANDPIT_CONFORM_BEARER)')
    .option(
      '--second-api-key <key>',
      'of another account, to test that it sees nothing (SANDPIT_CONFORM_SECOND_API_KEY)',
    )
    .option('--existing', 'make nothing: GET only, tested with what is there')
    .option('--sandboxes <number>', 'how many to make; some rules need 101', number(1, 1000), 12)
    .option('--template <name>', 'what to make them from, if not the default')
    .option('--documented-only', "leave out rules that are Sandpit's reading where the page is silent")
    .option('--rule <id...>', 'run these rules only')
    .option('--list-rules', 'print the rules and where they come from; run nothing')
    .option('--seed <number>', 'of what is made up; a random one is printed', number(0, 2 ** 31 - 1))
    .option('--generated <number>', 'how many requests a rule makes up', number(1, 100_000), 50)
    .option('--max-requests <number>', 'how many requests to send at most', number(1, 1_000_000), 3000)
    .option('--max-seconds <seconds>', 'how long to go on at most', number(1, 80_000), 120)
    .option('--request-seconds <seconds>', 'how long to wait for an answer', number(1, 600), 15)
    .option('--settle-seconds <seconds>', 'how long until what was ended must be listed as killed', number(0, 600), 5)
    .option('--json', 'print one JSON document')
    .option('--junit <file>', 'write JUnit XML as well')
    .action(async (flags: Flags) => (await import('../conform/command.ts')).conform(flags, terminal));
}

function number(minimum: number, maximum: number): (text: string) => number {
  return asFlag(integer(minimum, maximum));
}
