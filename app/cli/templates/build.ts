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
type Requested = Schemas['RequestedTemplateBuild'];
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
/** How long to wait for the server to give up a build. */
const giveUpMilliseconds = 5000;

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
  const made = await server.call<Requested>('POST', '/v3/templates', wanted);
  const { templateID, buildID } = made;
  const start = { fromImage: flags.from ?? recipe.image, steps: recipe.steps, force: flags.force ?? false };
  try {
    await server.call('POST', `/v2/templates/${templateID}/builds/${buildID}`, start);
    await follow(server, made, (line) => void stderr.write(line));
  } catch (error) {
    if (stop.aborted) stderr.write(`${await server.giveUp(made)}\n`);
    throw error;
  }
  const shown = { template: name, template_id: templateID, build_id: buildID };
  stdout.write(flags.json ? jsonLine(shown) : `Built ${name}. Start a sandbox from it with the template "${name}".\n`);
}

/** Shows what the build says until it has ended. Throws an Error with its reason if it fails. */
async function follow(
  server: Server,
  { templateID, buildID }: Pick<Requested, 'templateID' | 'buildID'>,
  say: (line: string) => void,
): Promise<void> {
  for (let seen = 0; ; ) {
    const path = `/templates/${templateID}/builds/${buildID}/status?logsOffset=${seen}&limit=${linesAtOnce}`;
    const { status, logEntries, reason } = await server.call<Schemas['TemplateBuildInfo']>('GET', path);
    for (const { message } of logEntries) say(`${printable(message)}\n`);
    seen += logEntries.length;
    if (logEntries.length === linesAtOnce) continue;
    if (status === 'error') throw new Error(failureIn(reason));
    if (status === 'ready') return;
    await delay(pollMilliseconds, undefined, { signal: server.stop });
  }
}

/** Returns why a build failed, and at which step. */
function failureIn(reason: Schemas['TemplateBuildInfo']['reason']): string {
  const step = reason?.step === undefined ? '' : ` at step ${reason.step}`;
  return printable(`the build failed${step}: ${reason?.message ?? 'without a reason'}`);
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
  call<T>(method: string, path: string, body?: object): Promise<T> {
    return this.#call(method, path, this.stop, body);
  }

  async #call<T>(method: string, path: string, signal: AbortSignal, body?: object): Promise<T> {
    const answer = await this.#ask(method, path, signal, body);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${this.#url} refuses: ${printable(messageIn(text) ?? `status ${answer.status}`)}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /**
   * Ends a build by deleting its template, unless the template is older than the build: it must not
   * go with it. Returns what has become of the build, in a sentence.
   */
  async giveUp({ templateID, buildID }: Pick<Requested, 'templateID' | 'buildID'>): Promise<string> {
    const path = `/templates/${templateID}`;
    const signal = AbortSignal.timeout(giveUpMilliseconds);
    try {
      const template = await this.#call<Schemas['TemplateWithBuilds']>('GET', path, signal);
      const isNeeded = template.builds.some((build) => build.buildID !== buildID && build.status !== 'error');
      if (isNeeded || template.buildStatus === 'ready') {
        return 'The build goes on: the template is older than it, and stays as it is until the build is ready.';
      }
      await this.#call('DELETE', path, signal);
      return 'The build was given up.';
    } catch (error) {
      return `The build may go on: ${error instanceof Error ? error.message : error}.`;
    }
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
