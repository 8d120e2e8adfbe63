import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { components } from '../../../spec/types.gen.ts';
import { readConfig } from '../../config/config.ts';
import { matching } from '../../config/readers.ts';
import { urlOf } from '../../http/addresses.ts';
import { jsonLine, printable } from '../../terminal/printable.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import { addSettings, asFlag } from '../options.ts';
import { type Recipe, recipes } from './recipes.ts';

type Schemas = components['schemas'];
type Flags = Record<string, unknown> & {
  url?: string;
  name?: string;
  from?: string;
  force?: boolean;
  json?: boolean;
};

/** How often to ask how far the build is, and for how many lines of its log at once. */
const pollMilliseconds = 500;
const linesAtOnce = 100;

const known = Object.entries(recipes)
  .map(([name, { about }]) => `${name}: ${about}`)
  .join('\n');

export function buildCommand(templates: Command, terminal: Terminal): void {
  addSettings(templates.command('build <recipe>'), ['host', 'port', 'tlsCert'])
    .summary('build a template that comes with Sandpit')
    .description(
      `build a template that comes with Sandpit, on the running server, for the user of an API key\n\n${known}`,
    )
    .option('--api-key <key>', 'API key of the user whose template it becomes (SANDPIT_API_KEY)')
    .option('--url <url>', 'URL of the server (default: the one with these settings)')
    .option('--name <name>', 'name of the template (default: the name that clients ask for)', asFlag(templateName))
    .option('--from <image>', "image to start from, one of Debian's family (default: the recipe's)")
    .option('--force', 'run all steps, also those that an earlier build has run')
    .option('--json', 'print JSON')
    .action(async (named: string, flags: Flags) => {
      const recipe = recipes[named];
      if (!recipe) throw new Error(`there is no recipe '${named}': choose from ${Object.keys(recipes).join(', ')}`);
      await build(new Server(flags, terminal.stop), recipe, flags, terminal);
    });
}

async function build(server: Server, recipe: Recipe, flags: Flags, { stdout, stderr, stop }: Terminal): Promise<void> {
  const name = flags.name ?? recipe.name;
  const wanted = { name, memoryMB: recipe.memoryMb };
  const made = await server.call<Schemas['RequestedTemplateBuild']>('POST', '/v3/templates', wanted);
  const { templateID, buildID } = made;
  const start = { fromImage: flags.from ?? recipe.image, steps: recipe.steps, force: flags.force ?? false };
  try {
    await server.call('POST', `/v2/templates/${templateID}/builds/${buildID}`, start);
    await follow(server, made, (line) => void stderr.write(line));
  } catch (error) {
    // What is given up must not go on: without a build, the template goes with it.
    if (stop.aborted) await server.giveUp(templateID);
    throw error;
  }
  const shown = { template: name, template_id: templateID, build_id: buildID };
  stdout.write(flags.json ? jsonLine(shown) : `Built ${name}. Start a sandbox from it with the template "${name}".\n`);
}

/** Shows what the build says until it has ended. Throws an Error with its reason if it fails. */
async function follow(
  server: Server,
  { templateID, buildID }: Pick<Schemas['RequestedTemplateBuild'], 'templateID' | 'buildID'>,
  say: (line: string) => void,
): Promise<void> {
  for (let seen = 0; ; ) {
    const path = `/templates/${templateID}/builds/${buildID}/status?logsOffset=${seen}&limit=${linesAtOnce}`;
    const { status, logEntries, reason } = await server.call<Schemas['TemplateBuildInfo']>('GET', path);
    for (const { message } of logEntries) say(`${printable(message)}\n`);
    seen += logEntries.length;
    if (status === 'error') throw new Error(`the build failed: ${printable(reason?.message ?? 'without a reason')}`);
    if (status === 'ready' && logEntries.length < linesAtOnce) return;
    if (logEntries.length < linesAtOnce) await delay(pollMilliseconds, undefined, { signal: server.stop });
  }
}

/** The server that builds. */
class Server {
  readonly stop: AbortSignal;
  readonly #url: string;
  readonly #key: string;

  constructor(flags: Flags, stop: AbortSignal) {
    const { apiKey: key } = readConfig(flags);
    if (!key) throw new Error('name an API key with --api-key or SANDPIT_API_KEY: sandpit keys create makes one');
    this.stop = stop;
    this.#key = key;
    this.#url = (flags.url ?? ownUrl(flags)).replace(/\/+$/, '');
  }

  /** Throws an Error in words of the server, or that it does not answer. */
  async call<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.#ask(method, path, this.stop, body);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${this.#url} refuses: ${printable(messageIn(text) ?? `status ${answer.status}`)}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async giveUp(templateId: string): Promise<void> {
    await this.#ask('DELETE', `/templates/${templateId}`, AbortSignal.timeout(5000)).catch(() => {});
  }

  async #ask(method: string, path: string, signal: AbortSignal, body?: object): Promise<Response> {
    const headers = { 'X-API-Key': this.#key, ...(body && { 'Content-Type': 'application/json' }) };
    try {
      return await fetch(this.#url + path, { method, headers, signal, ...(body && { body: JSON.stringify(body) }) });
    } catch (error) {
      signal.throwIfAborted();
      const { cause, message } = error as Error;
      throw new Error(`${this.#url} does not answer: ${cause instanceof Error ? cause.message : message}`, {
        cause: error,
      });
    }
  }
}

function ownUrl(flags: Flags): string {
  const { host: address, port, tlsCert } = readConfig(flags);
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  return urlOf(tlsCert === undefined ? 'http' : 'https', { address, family, port });
}

function messageIn(text: string): string | null {
  try {
    const { message } = JSON.parse(text);
    return typeof message === 'string' ? message : null;
  } catch {
    return null;
  }
}

function templateName(text: string): string {
  return matching(text, /^[A-Za-z0-9_-]{1,128}(:[A-Za-z0-9_.-]{1,127})?$/, 'the name of a template');
}
