import { setTimeout } from 'node:timers/promises';
import { Budget, Exhausted } from './budget.ts';
import { apiKeyCredential, bearerCredential, type Credential, type Exchange, type Sent } from './exchange.ts';

export type ClientOptions = {
  /** Without a trailing slash. */
  url: string;
  apiKey?: string | undefined;
  bearer?: string | undefined;
  maxRequests: number;
  maxSeconds: number;
  requestSeconds: number;
  /** Aborts requests that only read. */
  stop?: AbortSignal | undefined;
  /** Called after each exchange. */
  onExchange: (exchange: Exchange) => void;
};

export type Query = Record<string, string>;
type Call = Partial<Pick<Sent, 'body' | 'shownBody' | 'credentials'>> & { isCleanup?: boolean };

export type Client = {
  /** Returns how many requests were sent. */
  requests: () => number;
  credentials: Credential[];
  list: (query?: Query, credentials?: Credential[]) => Promise<Exchange>;
  send: (method: string, path: string, call?: Call) => Promise<Exchange>;
};

export const listPath = '/v1/sessions/sandboxes';

/** The server does not answer. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** Larger than any list. */
const maxBodyBytes = 2 ** 27;

/** How often a request is sent while the server answers 429 with `Retry-After`. */
const maxAttempts = 6;

/**
 * Returns a client that limits requests and time, and follows no redirects. Its calls throw
 * Exhausted, Unreachable, or the reason of `stop`. Cleanup has a time limit of its own and ignores
 * `stop`. A request that writes is never aborted.
 */
export function createClient(options: ClientOptions): Client {
  const { url, apiKey, bearer, onExchange } = options;
  const credentials = apiKey === undefined ? [bearerCredential(bearer ?? '')] : [apiKeyCredential(apiKey)];
  const budget = new Budget(options);
  const send: Client['send'] = async (method, path, { isCleanup = false, ...call } = {}) => {
    const sent = { credentials, ...call, method, url: `${url}${path}` };
    const stop = isCleanup ? undefined : options.stop;
    for (let attempt = 1; ; attempt++) {
      const left = budget.spend(isCleanup);
      const exchange = await exchangeOf(sent, { ...options, stop });
      const pause = pauseAfter(exchange);
      if (pause === null || attempt === maxAttempts) {
        onExchange(exchange);
        return exchange;
      }
      if (pause > left) throw new Exhausted(`${method} ${path.split('?')[0]} answered 429: ${waitText(pause)}`);
      // `stop` ends the wait, and the next round throws its reason.
      await setTimeout(pause, undefined, stop ? { signal: stop } : {}).catch(() => {});
    }
  };
  return {
    requests: () => budget.requests,
    credentials,
    send,
    list: (query = {}, own = credentials) => send('GET', `${listPath}${queryText(query)}`, { credentials: own }),
  };
}

function queryText(query: Query): string {
  const pairs = Object.entries(query).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
  );
  return pairs.length > 0 ? `?${pairs.join('&')}` : '';
}

async function exchangeOf(sent: Sent, { requestSeconds, stop }: ClientOptions): Promise<Exchange> {
  const { method, url, credentials, body } = sent;
  const timeout = AbortSignal.timeout(requestSeconds * 1000);
  const isRead = method === 'GET';
  try {
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: [
        ['Accept', 'application/json'],
        ...(body === undefined ? [] : [['Content-Type', 'application/json'] as [string, string]]),
        ...credentials.map(({ header, value }): [string, string] => [header, value]),
      ],
      ...(body === undefined ? {} : { body }),
      signal: stop && isRead ? AbortSignal.any([timeout, stop]) : timeout,
    });
    const { status, headers } = response;
    const text = await readBody(response);
    return {
      sent,
      status,
      body: text,
      contentType: headers.get('content-type') ?? '',
      challenge: headers.get('www-authenticate'),
      retryAfter: headers.get('retry-after'),
    };
  } catch (error) {
    if (isRead) stop?.throwIfAborted();
    throw new Unreachable(`${method} ${url.split('?')[0]} ${causeOf(error, requestSeconds)}`, { cause: error });
  }
}

/**
 * Returns the delay that a 429's `Retry-After` asks for, in milliseconds; null without one in
 * seconds.
 */
function pauseAfter({ status, retryAfter }: Exchange): number | null {
  if (status !== 429 || retryAfter === null || !/^\d{1,9}$/.test(retryAfter)) return null;
  return Number(retryAfter) * 1000;
}

function waitText(milliseconds: number): string {
  return `retrying after ${milliseconds / 1000} s would exceed the time limit`;
}

async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBodyBytes) throw new Error(`a body of more than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function causeOf(error: unknown, seconds: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return `had no answer within ${seconds} s`;
  const reason = cause?.code ?? cause?.message ?? message;
  const help = untrusted.test(reason)
    ? ': set NODE_EXTRA_CA_CERTS to a PEM file of the authority that signed its certificate'
    : '';
  return `failed: ${reason}${help}`;
}

/** Node's codes of TLS errors that a trusted authority solves. */
const untrusted = /SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT)/;
