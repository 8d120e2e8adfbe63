import { randomBytes } from 'node:crypto';
import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { type Contract, loadContract, type Parameter, parametersOf } from '../../spec/load.ts';
import { responseChecker } from '../../spec/responses.ts';
import { type Client, createClient, listPath, type Query } from './http/client.ts';
import { bearerCredential, type Exchange, secondCredential } from './http/exchange.ts';
import { type Item, itemsOf } from './http/items.ts';
import { createMaker, type Maker, tagOf } from './sandboxes/maker.ts';
import { documents } from './sandboxes/metadata.ts';

export type Options = {
  url: string;
  apiKey?: string | undefined;
  bearer?: string | undefined;
  secondApiKey?: string | undefined;
  template?: string | undefined;
  isExisting: boolean;
  sandboxes: number;
  seed: number;
  maxRequests: number;
  maxSeconds: number;
  requestSeconds: number;
  /** how long what was made or ended may take to show in a list */
  settleSeconds: number;
  /** how many requests a generated rule sends at most while all goes well */
  generated: number;
  stop?: AbortSignal | undefined;
};

/** A sandbox that is known to be there, with the metadata that it must have. */
export type Known = { id: string; metadata: JsonObject };
export type Breach = { exchange: Exchange; problem: string };

/** What the rules work with. */
export type Suite = {
  options: Options;
  client: Client;
  contract: Contract;
  parameters: Parameter[];
  limits: { minimum: number; maximum: number; preset: number };
  /** null: nothing is made */
  maker: Maker | null;
  /** in the order in which the server lists them; those the suite made, or without a maker all it can see */
  known: Known[];
  /** responses that break the contract */
  breaches: Breach[];
  /** Returns a filter, JSON text, narrowed down to the run's own sandboxes. */
  narrowed: (filter: string) => string;
};

/** A server with which nothing can be begun; the message says why. */
export class Unsuitable extends Error {
  override name = 'Unsuitable';
}

/** Returns a suite whose client may be used; nothing has been sent. */
export function createSuite(options: Options): Suite {
  const contract = loadContract();
  const operation = contract.paths[listPath]?.get;
  if (!operation) throw new Error(`openapi.yaml has no ${listPath}`);
  const parameters = parametersOf(contract, operation);
  const { minimum = 1, maximum = 1000, default: preset } = limitOf(parameters);
  const breaches: Breach[] = [];
  const breachIn = responseChecker(contract);
  const onExchange = (exchange: Exchange) => {
    const { sent, ...answer } = exchange;
    const path = sent.url.slice(options.url.length).split('?')[0] ?? '';
    // How sandboxes are made and ended is no part of what is tested.
    const problem = path === listPath ? breachIn({ method: sent.method, path, ...answer }) : null;
    if (problem) breaches.push({ exchange, problem });
  };
  const client = createClient({ ...options, onExchange });
  const run = randomBytes(16).toString('hex');
  const lifetimeSeconds = Math.min(86_400, Math.max(300, options.maxSeconds + 120));
  const { apiKey, template, settleSeconds } = options;
  const making = { run, apiKey, lifetimeSeconds, template, settleSeconds };
  const maker = options.isExisting ? null : createMaker(client, making);
  return {
    ...{ options, client, contract, parameters, maker, breaches, known: [] },
    limits: { minimum, maximum, preset: preset ?? 100 },
    narrowed: (filter) => (maker ? joined(`{${tagOf(run)}}`, filter) : filter),
  };
}

function limitOf(parameters: Parameter[]): { minimum?: number; maximum?: number; default?: number } {
  const schema = parameters.find(({ name }) => name === 'limit')?.schema ?? {};
  return schema as { minimum?: number; maximum?: number; default?: number };
}

/** Returns an object's text that has the members of both. */
export function joined(...texts: string[]): string {
  const inner = texts.map((text) => text.trim().slice(1, -1).trim());
  return `{${inner.filter((members) => members !== '').join(',')}}`;
}

/**
 * Makes the sandboxes, and learns in which order they are listed; without a maker, learns what there is.
 * Throws Unsuitable, Unreachable or Exhausted.
 */
export async function prepare(suite: Suite): Promise<void> {
  const { client, maker, limits } = suite;
  const first = await firstList(suite);
  // What is wrong with a list is for the rules; of a page there is nothing to be said.
  if (first.status === 200 && !isJson(first.body)) throw new Unsuitable(refusal(first));
  const items = readItems(first) ?? [];
  await checkSecondKey(suite);
  if (!maker) {
    suite.known = items.map(({ sandbox_id, metadata }) => ({ id: sandbox_id, metadata }));
    return;
  }
  await makeAll(suite, maker);
  const limit = String(limits.maximum);
  const lists = [{ limit }, { limit, metadata: suite.narrowed('{}') }, {}] as Query[];
  // A server that is wrong in one of these may be right in another.
  const found: Item[] = [];
  for (const query of lists) {
    found.push(...(readItems(await client.list(query)) ?? []));
    suite.known = ownOf(found, maker);
    if (suite.known.length === maker.made.length) return;
  }
}

/** Of an API key and a token one may be refused: then the rule on it says so, and the rest goes on with the other. */
async function firstList({ client, options, limits }: Suite): Promise<Exchange> {
  const limit = String(limits.maximum);
  const first = await client.list({ limit });
  if (first.status < 300) return first;
  const plain = await client.list();
  if (plain.status < 300) return plain;
  if (options.apiKey !== undefined && options.bearer !== undefined) {
    const bearer = [bearerCredential(options.bearer)];
    const second = await client.list({ limit }, bearer);
    if (second.status < 300) {
      client.credentials.splice(0, 1, ...bearer);
      return second;
    }
  }
  throw new Unsuitable(refusal(first));
}

/** Otherwise the server, which takes keys, would be blamed for one that is mistyped. */
async function checkSecondKey({ client, options: { secondApiKey } }: Suite): Promise<void> {
  if (secondApiKey === undefined || client.credentials[0]?.header !== 'X-API-Key') return;
  const exchange = await client.list({}, [secondCredential(secondApiKey)]);
  if (isUnauthorized(exchange)) throw new Unsuitable(`${refusal(exchange)} (--second-api-key)`);
}

async function makeAll({ options }: Suite, maker: Maker): Promise<void> {
  const chosen = documents.slice(0, options.sandboxes);
  // Older than those that tell something, which so stay in every list.
  const fillers = Array.from({ length: options.sandboxes - chosen.length }, (_, n) => `{"filler":${n}}`);
  for (const document of [...fillers, ...chosen]) {
    const sandbox = await maker.make(document);
    if (sandbox || maker.made.length > 0) continue;
    throw new Unsuitable(
      `it makes no sandboxes (${maker.refusals.at(-1)}): --existing tests with what there is, reading only`,
    );
  }
}

/** What is listed of what was made, each once, with the metadata that was asked for. */
function ownOf(items: Item[], { made }: Maker): Known[] {
  const byNumber = new Map(made.map((sandbox) => [sandbox.n, sandbox]));
  const own = new Map<string, Known>();
  for (const { sandbox_id: id, metadata } of items) {
    const sandbox = byNumber.get(metadata.conform_n as number);
    if (!sandbox || metadata.conform_run !== sandbox.metadata.conform_run || own.has(id)) continue;
    own.set(id, { id, metadata: sandbox.metadata });
  }
  return [...own.values()];
}

function readItems(exchange: Exchange): Item[] | null {
  try {
    return itemsOf(exchange);
  } catch {
    return null;
  }
}

function isUnauthorized({ status }: Exchange): boolean {
  return status === 401 || status === 403;
}

function refusal(exchange: Exchange): string {
  const { status, sent, contentType } = exchange;
  const path = new URL(sent.url).pathname;
  if (isUnauthorized(exchange)) return `GET ${path} answered ${status}: is the credential right?`;
  if (status >= 300 && status < 400) return `GET ${path} answered ${status}, a redirect, which is not followed`;
  if (status === 429 || status >= 500) return `GET ${path} answered ${status}: ${busyText(exchange)}`;
  const what = status < 300 ? `${status} with ${contentType || 'no media type'} that is not JSON` : status;
  return `GET ${path} answered ${what}: is this the right --url?`;
}

function busyText({ status, retryAfter }: Exchange): string {
  if (status !== 429 && status !== 503) return 'it has a failure of its own';
  const when = /^\d+$/.test(retryAfter ?? '') ? ` in ${retryAfter} s` : ' later';
  return `it is busy, try again${when}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Returns the value of a filter's text. */
export function filterValue(text: string): JsonObject {
  return parseJson(text) as JsonObject;
}
