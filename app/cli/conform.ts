import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { type ConformTarget, integer, readConformTarget } from '../config.ts';
import type { Rule } from '../conform/rule.ts';
import type { Report } from '../conform/run.ts';
import type { Options } from '../conform/suite.ts';
import type { Terminal } from './terminal.ts';

type Flags = ConformTarget &
  Omit<Options, keyof ConformTarget | 'isExisting' | 'seed' | 'stop'> & {
    existing?: true;
    documentedOnly?: true;
    rule?: string[];
    listRules?: true;
    seed?: number;
    json?: true;
    junit?: string;
  };

const description = `test any server against the contract of GET /v1/sessions/sandboxes

Makes a few sandboxes of its own, asks for them in every way the contract allows and refuses, and ends them, whatever
happens. Exits with 0 when all that ran passed. It never ends a sandbox that it did not make.`;

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
    .option('--json', 'print one JSON document')
    .option('--junit <file>', 'write JUnit XML as well')
    .action((flags: Flags) => conform(flags, terminal));
}

async function conform(flags: Flags, { stdout, stop }: Terminal): Promise<void> {
  const [{ rules }, { runSuite, isPassed }, text] = await Promise.all([
    import('../conform/rules/all.ts'),
    import('../conform/run.ts'),
    import('../conform/report.ts'),
  ]);
  const chosen = choose(rules, flags);
  if (flags.listRules) return void stdout.write(await listing(chosen, flags.json));
  const options = { ...readOptions(flags), stop };
  const hide = hiding(options);
  const paint = text.painter(stdout);
  const width = Math.max(...chosen.map(({ id }) => id.length));
  if (!flags.json) stdout.write(`${options.url}, ${chosen.length} rules, seed ${options.seed}\n\n`);
  const report = await runSuite(options, chosen, (result) => {
    if (!flags.json) stdout.write(hide(text.resultText(result, width, paint)));
  });
  stdout.write(
    hide(flags.json ? `${JSON.stringify({ passed: isPassed(report), ...report })}\n` : text.summaryText(report, paint)),
  );
  if (flags.junit !== undefined) await writeJunit(flags.junit, report, hide);
  if (!isPassed(report)) throw new Error(verdict(report));
}

/** Throws an Error that says what is missing or wrong. */
function readOptions(flags: Flags): Omit<Options, 'stop'> {
  const { url, apiKey, bearer, secondApiKey } = readConformTarget(flags);
  if (url === undefined) throw new Error('name the server to test with --url or SANDPIT_CONFORM_URL');
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw new Error(`--url must be a URL with http or https, not '${url}'`);
  if (apiKey === undefined && bearer === undefined)
    throw new Error('give a credential: --api-key or SANDPIT_CONFORM_API_KEY, --bearer or SANDPIT_CONFORM_BEARER');
  for (const [name, value] of Object.entries({
    '--api-key': apiKey,
    '--bearer': bearer,
    '--second-api-key': secondApiKey,
  }))
    if (value !== undefined && !/^[\x21-\x7e]+$/.test(value))
      throw new Error(`${name} can't be sent: it must be of visible ASCII`);
  const { sandboxes, template, generated, maxRequests, maxSeconds, requestSeconds } = flags;
  return {
    ...{ url: url.replace(/[?#].*$/, '').replace(/\/+$/, ''), apiKey, bearer, secondApiKey, template },
    ...{ sandboxes, generated, maxRequests, maxSeconds, requestSeconds },
    isExisting: flags.existing ?? false,
    seed: flags.seed ?? randomInt(2 ** 31 - 1),
  };
}

function choose(rules: Rule[], { rule: ids = [], documentedOnly }: Flags): Rule[] {
  const unknown = ids.find((id) => rules.every((rule) => rule.id !== id));
  if (unknown !== undefined) throw new Error(`there is no rule ${unknown}: --list-rules prints them all`);
  const named = ids.length === 0 ? rules : rules.filter(({ id }) => ids.includes(id));
  const chosen = named.filter(({ source }) => !documentedOnly || 'page' in source);
  if (chosen.length === 0) throw new Error('none of these rules is documented');
  return chosen;
}

async function listing(rules: Rule[], asJson = false): Promise<string> {
  const { sourceText } = await import('../conform/rule.ts');
  const rows = rules.map(({ id, title, source }) => ({ id, title, source: sourceText(source) }));
  if (asJson) return `${JSON.stringify(rows)}\n`;
  return rows.map(({ id, title, source }) => `${id}\n    ${title}\n    ${source}\n`).join('');
}

/** Returns what takes the credentials out of a text, should the server repeat them. */
function hiding({ apiKey, bearer, secondApiKey }: ConformTarget): (text: string) => string {
  const secrets = [apiKey, bearer, secondApiKey].filter((secret) => secret !== undefined);
  return (text) => secrets.reduce((shown, secret) => shown.replaceAll(secret, '[credential]'), text);
}

async function writeJunit(file: string, report: Report, hide: (text: string) => string): Promise<void> {
  const { junitXml } = await import('../conform/junit.ts');
  await writeFile(file, hide(junitXml(report)));
}

function verdict({ results, error, sandboxes, url }: Report): string {
  if (error !== null) return error === 'interrupted' ? 'interrupted' : `${url} could not be tested: ${error}`;
  const failed = results.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id);
  if (failed.length > 0) return `${url} breaks the contract: ${failed.join(', ')}`;
  if (sandboxes.left.length > 0) return `${sandboxes.left.length} sandboxes could not be ended`;
  return 'nothing could be tested: every rule was skipped';
}

function number(minimum: number, maximum: number): (text: string) => number {
  const read = integer(minimum, maximum);
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw new InvalidArgumentError(`It ${(error as Error).message}.`);
    }
  };
}
