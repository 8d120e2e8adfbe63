import { bearerCredential, type Exchange, secondCredential } from './http/exchange.ts';
import { type Item, itemsOf } from './http/items.ts';
import type { Maker } from './sandboxes/maker.ts';
import { documents } from './sandboxes/metadata.ts';
import type { Known, Suite } from './suite.ts';

/** The suite cannot start with this server; the message says why. */
export class Unsuitable extends Error {
  override name = 'Unsuitable';
}

/**
 * Makes the suite's sandboxes and learns the order in which the server lists them; without a maker,
 * learns which sandboxes exist. Throws Unsuitable, Unreachable or Exhausted.
 */
export async function prepare(suite: Suite): Promise<void> {
  const { client, maker, limits } = suite;
  const first = await firstList(suite);
  // Rules judge a list that is wrong, but nothing can be tested when the answer is not JSON.
  if (first.status === 200 && !isJson(first.body)) throw new Unsuitable(refusal(first));
  const items = readItems(first) ?? [];
  await checkSecondKey(suite);
  if (!maker) {
    suite.known = items.map(({ sandbox_id, metadata }) => ({ id: sandbox_id, metadata }));
    return;
  }
  await makeAll(suite, maker);
  const limit = String(limits.maximum);
  // A server that fails one of these requests may answer another.
  const queries: Record<string, string>[] = [{ limit }, { limit, metadata: suite.narrowed('{}') }, {}];
  const found: Item[] = [];
  for (const query of queries) {
    found.push(...(readItems(await client.list(query)) ?? []));
    suite.known = ownOf(found, maker);
    if (suite.known.length === maker.made.length) return;
  }
}

/**
 * Returns the first list that the server accepts. When it refuses the API key but accepts the
 * token, the client uses the token from then on, and the rule about keys reports the failure.
 */
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

/** Checks the second key first, so that no rule blames the server for a mistyped one. */
async function checkSecondKey({ client, options: { secondApiKey } }: Suite): Promise<void> {
  if (secondApiKey === undefined || client.credentials[0]?.header !== 'X-API-Key') return;
  const exchange = await client.list({}, [secondCredential(secondApiKey)]);
  if (isUnauthorized(exchange)) throw new Unsuitable(`${refusal(exchange)} (--second-api-key)`);
}

async function makeAll({ options }: Suite, maker: Maker): Promise<void> {
  const chosen = documents.slice(0, options.sandboxes);
  // Fillers are made first: the newest sandboxes, which rules need, then stay within every limit.
  const fillers = Array.from({ length: options.sandboxes - chosen.length }, (_, n) => `{"filler":${n}}`);
  for (const document of [...fillers, ...chosen]) {
    const sandbox = await maker.make(document);
    if (sandbox || maker.made.length > 0) continue;
    throw new Unsuitable(
      `it makes no sandboxes (${maker.refusals.at(-1)}): use --existing to test with existing sandboxes`,
    );
  }
}

/**
 * Returns the suite's sandboxes among the items, each once, with the metadata that the suite sent.
 */
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
  const answer = status < 300 ? `${status} with ${contentType || 'no media type'} that is not JSON` : status;
  return `GET ${path} answered ${answer}: is this the right --url?`;
}

function busyText({ status, retryAfter }: Exchange): string {
  if (status !== 429 && status !== 503) return 'the server failed';
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
