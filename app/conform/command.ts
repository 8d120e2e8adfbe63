import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { type ConformTarget, readConformTarget } from '../config/conform.ts';
import { jsonLine } from '../terminal/printable.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { junitXml } from './report/junit.ts';
import { isPassed, type Report, type Result } from './report/report.ts';
import { painter, resultText, summaryText } from './report/text.ts';
import { isDocumented, type Rule, sourceText } from './rule.ts';
import { rules } from './rules/all.ts';
import { runSuite } from './run.ts';
import type { Options } from './suite.ts';

export type Flags = ConformTarget &
  Omit<Options, keyof ConformTarget | 'isExisting' | 'seed' | 'stop'> & {
    existing?: true;
    documentedOnly?: true;
    rule?: string[];
    listRules?: true;
    seed?: number;
    json?: true;
    junit?: string;
  };

/** Runs `sandpit conform`. Throws an Error with a one-line reason when it does not pass. */
export async function conform(flags: Flags, { stdout, stderr, stop }: Terminal): Promise<void> {
  const chosen = choose(rules, flags);
  if (flags.listRules) return void stdout.write(listing(chosen, flags.json));
  const options = { ...readOptions(flags), stop };
  const redact = redactor(options);
  const paint = painter(stdout);
  const width = Math.max(...chosen.map(({ id }) => id.length));
  if (!flags.json) stdout.write(`${options.url}, ${chosen.length} rules, seed ${options.seed}\n\n`);
  const onResult = (result: Result) => {
    if (!flags.json) stdout.write(resultText(redact(result), width, paint));
  };
  const onSlowEnd = (count: number) =>
    void stderr.write(`Ending ${count} sandboxes that the suite created. This takes at most a minute.\n`);
  const report = redact(await runSuite(options, chosen, onResult, onSlowEnd));
  stdout.write(flags.json ? jsonLine({ passed: isPassed(report), ...report }) : summaryText(report, paint));
  if (flags.junit !== undefined) await writeFile(flags.junit, junitXml(report));
  if (!isPassed(report)) throw new Error(verdict(report));
}

/** Throws an Error that says which option is missing or wrong. */
function readOptions(flags: Flags): Omit<Options, 'stop'> {
  const { url, apiKey, bearer, secondApiKey } = readConformTarget(flags);
  if (url === undefined) throw new Error('name the server to test with --url or SANDPIT_CONFORM_URL');
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw new Error(`--url must be an http or https URL, not '${url}'`);
  if (/^https?:\/\/[^/?#]*@/.test(url)) throw new Error('--url must not contain a user name or password');
  if (apiKey === undefined && bearer === undefined)
    throw new Error('give a credential: --api-key or SANDPIT_CONFORM_API_KEY, --bearer or SANDPIT_CONFORM_BEARER');
  for (const [name, value] of Object.entries({
    '--api-key': apiKey,
    '--bearer': bearer,
    '--second-api-key': secondApiKey,
  }))
    if (value !== undefined && !/^[\x21-\x7e]+$/.test(value))
      throw new Error(`${name} can't be sent: use visible ASCII characters only`);
  if (secondApiKey !== undefined && secondApiKey === apiKey)
    throw new Error('--second-api-key must belong to another account than --api-key');
  const { sandboxes, template, generated, maxRequests, maxSeconds, requestSeconds, settleSeconds } = flags;
  return {
    url: url.replace(/[?#].*$/, '').replace(/\/+$/, ''),
    apiKey,
    bearer,
    secondApiKey,
    template,
    sandboxes,
    generated,
    maxRequests,
    maxSeconds,
    requestSeconds,
    settleSeconds,
    isExisting: flags.existing ?? false,
    seed: flags.seed ?? randomInt(2 ** 31 - 1),
  };
}

function choose(rules: Rule[], { rule: ids = [], documentedOnly }: Flags): Rule[] {
  const unknown = ids.find((id) => rules.every((rule) => rule.id !== id));
  if (unknown !== undefined) throw new Error(`there is no rule ${unknown}: --list-rules prints all rules`);
  const named = ids.length === 0 ? rules : rules.filter(({ id }) => ids.includes(id));
  const chosen = named.filter((rule) => !documentedOnly || isDocumented(rule));
  if (chosen.length === 0) throw new Error('none of these rules quotes the documented page');
  return chosen;
}

function listing(rules: Rule[], asJson = false): string {
  const rows = rules.map(({ id, title, source }) => ({ id, title, source: sourceText(source) }));
  if (asJson) return jsonLine(rows);
  return rows.map(({ id, title, source }) => `${id}\n    ${title}\n    ${source}\n`).join('');
}

/**
 * Returns a function that replaces the credentials in a value, in case a server's answer repeats
 * them.
 */
function redactor({ apiKey, bearer, secondApiKey }: ConformTarget): <T>(value: T) => T {
  // A short credential is no secret, and may be part of a word.
  const secrets = [apiKey, bearer, secondApiKey]
    .filter((secret) => secret !== undefined)
    .filter(({ length }) => length >= 8);
  const unredacted = new Set(['id', 'title', 'outcome', 'source', 'url']);
  const hide = (text: string) => secrets.reduce((shown, secret) => shown.replaceAll(secret, '[credential]'), text);
  return (value) =>
    JSON.parse(
      JSON.stringify(value, (name, part) => (typeof part === 'string' && !unredacted.has(name) ? hide(part) : part)),
    );
}

function verdict({ results, error, sandboxes, url }: Report): string {
  if (error !== null) return error === 'interrupted' ? 'interrupted' : `${url} could not be tested: ${error}`;
  const failed = results.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id);
  if (failed.length > 0) return `${url} breaks the contract: ${failed.join(', ')}`;
  if (sandboxes.left.length > 0) return `${sandboxes.left.length} sandboxes could not be ended`;
  return 'nothing could be tested: every rule was skipped';
}
