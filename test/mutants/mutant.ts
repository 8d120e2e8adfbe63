import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { parseJson } from '../../db/json/json.ts';
import { closeNow, listen } from '../helpers/listen.ts';

export type Answer = { status: number; headers: Record<string, string>; body: string };
export type Item = Record<string, unknown> & { metadata: Record<string, unknown> };

/** A request for the list, and a way to get the correct server's answer. */
export type Call = {
  query: URLSearchParams;
  headers: Record<string, string>;
  /** the keys of the account that is tested, and of another */
  keys: { own: string; other: string };
  /** Returns the correct server's answer, to this request or with another query or headers. */
  ask: (query?: URLSearchParams, headers?: Record<string, string>) => Promise<Answer>;
};

/** A server that is wrong on purpose: it differs from the correct one only in its list. */
export type Mutant = {
  name: string;
  wrong: string;
  /** the rule that must catch it */
  rule: string;
  answer: (call: Call) => Promise<Answer>;
  /** how many sandboxes the suite must create (default: 12) */
  sandboxes?: number;
};

type Running = { url: string; close: () => void };

/**
 * Starts a server in front of the correct one at `url`. It answers as the mutant does, or
 * forwards everything without a mutant. Calls `onRequest` first.
 */
export async function serveMutant(
  url: string,
  keys: Call['keys'],
  onRequest: (method: string, path: string) => void,
  mutant?: Mutant,
): Promise<Running> {
  const server = createServer((req, res) => {
    onRequest(req.method ?? '', req.url ?? '');
    answerTo(req, url, keys, mutant).then(
      ({ status, headers, body }) => res.writeHead(status, headers).end(body),
      (error) => fail(res, error),
    );
  });
  return { url: `http://127.0.0.1:${await listen(server)}`, close: () => closeNow(server) };
}

/** Answers 599, which no mutant does: an error in a mutant must not look like its defect. */
function fail(res: ServerResponse, error: Error): void {
  console.error(error);
  res.writeHead(599).end(error.stack);
}

async function answerTo(req: IncomingMessage, url: string, keys: Call['keys'], mutant?: Mutant): Promise<Answer> {
  const { method = 'GET', headers: sent } = req;
  const { pathname, searchParams } = new URL(req.url ?? '/', url);
  const body = await buffer(req);
  const names = ['x-api-key', 'authorization', 'content-type'];
  const headers = Object.fromEntries(
    names.flatMap((name) => (sent[name] === undefined ? [] : [[name, String(sent[name])]])),
  );
  if (!mutant || method !== 'GET' || pathname !== '/v1/sessions/sandboxes')
    return request(`${url}${req.url}`, { method, headers, ...(body.length > 0 && { body }) });
  const ask: Call['ask'] = (query = searchParams, own = headers) =>
    request(`${url}${pathname}${query.size > 0 ? `?${query}` : ''}`, { headers: own });
  return mutant.answer({ query: searchParams, headers, keys, ask });
}

async function request(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const kept = ['content-type', 'www-authenticate', 'location'];
  const headers = kept.flatMap((name) => (response.headers.has(name) ? [[name, response.headers.get(name)]] : []));
  return { status: response.status, headers: Object.fromEntries(headers), body: await response.text() };
}

/** Returns a JSON answer. */
export function json(status: number, body: unknown): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** Returns the answer of a mutant that sends the correct server a changed query. */
export function asking(change: (query: URLSearchParams) => void): Mutant['answer'] {
  return ({ query, ask }) => {
    const changed = new URLSearchParams(query);
    change(changed);
    return ask(changed);
  };
}

/** Returns the answer of a mutant that changes the correct list. */
export function listing(change: (items: Item[], call: Call) => unknown): Mutant['answer'] {
  return async (call) => {
    const answer = await call.ask();
    return answer.status === 200 ? json(200, await change(itemsIn(answer), call)) : answer;
  };
}

/** Returns the answer of a mutant that changes every sandbox of the correct list. */
export function eachItem(change: (item: Item) => unknown): Mutant['answer'] {
  return listing((items) => items.map(change));
}

/** Returns the answer of a mutant that changes the correct answer of this status. */
export function refusing(
  status: number,
  change: (answer: Answer, call: Call) => Answer | Promise<Answer>,
): Mutant['answer'] {
  return async (call) => {
    const answer = await call.ask();
    return answer.status === status ? change(answer, call) : answer;
  };
}

/** Returns all of the caller's sandboxes, newest first, whatever the request asks for. */
export async function everything({ ask }: Pick<Call, 'ask'>): Promise<Item[]> {
  return itemsIn(await ask(new URLSearchParams({ limit: '1000' })));
}

export function limitOf({ query }: Call): number {
  return Number(query.get('limit') ?? 100);
}

/** Returns the sandboxes of a list. Numbers keep their digits; losing some would be a defect. */
export function itemsIn({ body }: Answer): Item[] {
  return parseJson(body, 100) as Item[];
}
