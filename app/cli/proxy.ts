import { once } from 'node:events';
import { type Command, CommanderError, InvalidArgumentError } from 'commander';
import { address, integer } from '../config/readers.ts';
import { hostOf, isLoopback } from '../http/addresses.ts';
import { LineOutput } from '../log/line-output.ts';
import type { Summary } from '../proxy/report.ts';
import { jsonLine } from '../terminal/printable.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { asFlag } from './options.ts';

type Flags = { target: URL; host: string; port: number; strict?: boolean; json?: boolean };

export function proxyCommand(program: Command, terminal: Terminal): void {
  program
    .command('proxy')
    .description('forward traffic to a server and report what breaks the contract, until stopped')
    .requiredOption(
      '--target <url>',
      'URL of the server; a path in it is put before the path of each request',
      readTarget,
    )
    .option('--host <address>', 'address to listen on', asFlag(address), '127.0.0.1')
    .option('--port <number>', 'port to listen on; 0 chooses a free one', asFlag(integer(0, 65_535)), 3001)
    .option('--strict', 'exit with 1 if the contract was broken or nothing was checked')
    .option('--json', 'print a line of JSON for each breach, and one for the summary')
    .action((flags) => proxy(flags, terminal));
}

async function proxy({ target, host, port, strict, json }: Flags, { stdout, stderr, stop }: Terminal): Promise<void> {
  const { createReport, summaryText } = await import('../proxy/report.ts');
  const { startProxy } = await import('../proxy/server.ts');
  if (isItself(target, host, port)) {
    throw new Error(`${target.href} is the address of the proxy itself: choose another --port`);
  }
  const lines = new LineOutput(stdout);
  const report = createReport(lines, stderr, { json: json === true });
  const { url, close } = await startProxy(target, host, port, report).catch((error) => {
    throw new Error(`can't listen on ${host}:${port}: ${error.message}`, { cause: error });
  });
  stderr.write(`The proxy answers on ${url} and forwards to ${target.href}\n`);
  stderr.write('Point your client at the proxy. Ctrl-C stops it and prints a summary.\n');
  if (!stop.aborted) await once(stop, 'abort');
  await close();
  if (lines.lost > 0) stderr.write(`${lines.lost} lines were dropped, because standard output was not read.\n`);
  const summary = report.summary();
  stdout.write(json ? jsonLine({ kind: 'summary', ...summary }) : `\n${summaryText(summary)}`);
  if (!strict) return;
  const failed = failureOf(summary);
  if (failed) {
    stderr.write(`sandpit: ${failed}\n`);
    throw new CommanderError(1, 'sandpit.unchecked', '');
  }
  if (summary.breaches > 0) throw new CommanderError(1, 'sandpit.breaches', '');
}

/** Returns why too little traffic was checked to pass, or null. */
function failureOf({ unreachable, unanswered, checkedResponses, unchecked, breaches }: Summary): string | null {
  if (unreachable > 0) return 'the target could not be reached';
  if (unanswered > 0) return 'the target gave no answer';
  return checkedResponses + unchecked + breaches === 0 ? 'nothing was checked' : null;
}

/**
 * Whether the proxy would forward to itself: each request would loop until no connection is left.
 */
function isItself(target: URL, host: string, port: number): boolean {
  if (Number(target.port) !== port || port === 0) return false;
  const named = hostOf(target);
  const isWildcard = host === '0.0.0.0' || host === '::';
  return named === host || (isLoopback(named) && (isWildcard || isLoopback(host)));
}

function readTarget(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new InvalidArgumentError('It must be an http or https URL.');
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new InvalidArgumentError('It may have only a host, a port and a path.');
  }
  return url;
}
