import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { parseJson } from '../../db/json/json.ts';
import { closeNow, listen } from '../helpers/listen.ts';

export type Answer = { status: number; headers: Record<string, string>; body: string };
export type Item = Record<string, unknown> & { metadata: Record<string, unknown> };

/** A request for the list, and what the right server would say. */
export type Call = {
  query: URLSearchParams;
  headers: Record<string, string>;
  /** the keys of the account that is tested, and of another */
  keys: { own: string; other: string };
  /** Returns the right server's answer to this request, or to one that is a little different. */
  ask: (query?: URLSearchParams, headers?: Record<string, string>) => Promise<Answer>;
};

/** A deliberately wrong server: the right one but for its answer to a request for the list. */
export type Mutant = {
  name: string;
  wrong: string;
  /** the rule that must catch it */
  rule: string;
  answer: (call: Call) => Promise<Answer>;
  /** how many sandboxes the suite has to make, unless 12 do */
  sandboxes?: number;
};

type Running = { url: string; close: () => void };

/**
 * Starts a server before the right one, at `url`, that answers as the mutant does, or without one passes all on.
 * `onRequest` is called first.
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

/** With a status that no mutant answers, so that a mistake in one is not taken for what it does wrong. */
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

/** Returns an answer of JSON. */
export function json(status: number, body: unknown): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** Returns what asks the right server something else. */
export function asking(change: (query: URLSearchParams) => void): Mutant['answer'] {
  return ({ query, ask }) => {
    const changed = new URLSearchParams(query);
    change(changed);
    return ask(changed);
  };
}

/** Returns what changes a right list before it is sent. */
export function listing(change: (items: Item[], call: Call) => unknown): Mutant['answer'] {
  return async (call) => {
    const answer = await call.ask();
    return answer.status === 200 ? json(200, await change(itemsIn(answer), call)) : answer;
  };
}

/** Returns what changes every sandbox of a right list. */
export function eachItem(change: (item: Item) => unknown): Mutant['answer'] {
  return listing((items) => items.map(change));
}

/** Returns what changes a refusal of this status. */
export function refusing(
  status: number,
  change: (answer: Answer, call: Call) => Answer | Promise<Answer>,
): Mutant['answer'] {
  return async (call) => {
    const answer = await call.ask();
    return answer.status === status ? change(answer, call) : answer;
  };
}

/** Returns everything the caller has, newest first, whatever the request asks for. */
export async function everything({ ask }: Pick<Call, 'ask'>): Promise<Item[]> {
  return itemsIn(await ask(new URLSearchParams({ limit: '1000' })));
}

export function limitOf({ query }: Call): number {
  return Number(query.get('limit') ?? 100);
}

/** Returns the sandboxes of a list, numbers as they were written, or a mutant would be caught for losing digits. */
export function itemsIn({ body }: Answer): Item[] {
  return parseJson(body, 100) as Item[];
}
