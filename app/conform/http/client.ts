import { setTimeout } from 'node:timers/promises';
import { apiKeyCredential, bearerCredential, type Credential, type Exchange, type Sent } from './exchange.ts';

export type ClientOptions = {
  /** without a slash at its end */
  url: string;
  apiKey?: string | undefined;
  bearer?: string | undefined;
  maxRequests: number;
  maxSeconds: number;
  requestSeconds: number;
  /** Ends what only reads. */
  stop?: AbortSignal | undefined;
  /** Told of every exchange. */
  onExchange: (exchange: Exchange) => void;
};

export type Query = Record<string, string>;
type Call = Partial<Pick<Sent, 'body' | 'shownBody' | 'credentials'>> & { isCleanup?: boolean };

export type Client = {
  /** how many requests were sent */
  requests: () => number;
  credentials: Credential[];
  list: (query?: Query, credentials?: Credential[]) => Promise<Exchange>;
  send: (method: string, path: string, call?: Call) => Promise<Exchange>;
};

export const listPath = '/v1/sessions/sandboxes';

/** The suite has used up what it may send, or its time. */
export class Exhausted extends Error {
  override name = 'Exhausted';
}

/** A server that doesn't answer. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** Larger than the largest list there can be. */
const maxBodyBytes = 2 ** 27;

/** A server with a rate limit is asked again, as often, when it says after how many seconds. */
const maxAttempts = 6;

/** How long cleaning up goes on, begun with its first request. */
const cleanupSeconds = 60;

/**
 * Returns what sends requests, within bounds, and follows no redirect. A call throws Exhausted, Unreachable, or the
 * reason of the `stop` signal; cleaning up has a time of its own and isn't stopped, and what writes is never given up
 * halfway.
 */
export function createClient(options: ClientOptions): Client {
  const { url, apiKey, bearer, maxRequests, maxSeconds, onExchange } = options;
  const credentials = apiKey === undefined ? [bearerCredential(bearer ?? '')] : [apiKeyCredential(apiKey)];
  const deadline = performance.now() + maxSeconds * 1000;
  let cleanupDeadline: number | undefined;
  let count = 0;

  /** Returns how many milliseconds are left. */
  const admit = (isCleanup: boolean): number => {
    const now = performance.now();
    if (isCleanup) {
      cleanupDeadline ??= now + cleanupSeconds * 1000;
      if (now > cleanupDeadline) throw new Exhausted(`the ${cleanupSeconds} s for ending sandboxes are over`);
      return cleanupDeadline - now;
    }
    options.stop?.throwIfAborted();
    if (count >= maxRequests) throw new Exhausted(`the ${maxRequests} requests of --max-requests are used up`);
    if (now > deadline) throw new Exhausted(`the ${maxSeconds} s of --max-seconds are over`);
    return deadline - now;
  };
  const send: Client['send'] = async (method, path, { isCleanup = false, ...call } = {}) => {
    const sent = { credentials, ...call, method, url: `${url}${path}` };
    const stop = isCleanup ? undefined : options.stop;
    for (let attempt = 1; ; attempt++) {
      const left = admit(isCleanup);
      count++;
      const exchange = await exchangeOf(sent, { ...options, stop });
      const pause = pauseAfter(exchange);
      if (pause === null || attempt === maxAttempts) {
        onExchange(exchange);
        return exchange;
      }
      if (pause > left) throw new Exhausted(`${method} ${path.split('?')[0]} answered 429: ${waitText(pause)}`);
      // A stop ends the wait, and the next round sees it.
      await setTimeout(pause, undefined, stop ? { signal: stop } : {}).catch(() => {});
    }
  };
  return {
    requests: () => count,
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
      ...{ sent, status, body: text },
      contentType: headers.get('content-type') ?? '',
      challenge: headers.get('www-authenticate'),
      retryAfter: headers.get('retry-after'),
    };
  } catch (error) {
    if (isRead) stop?.throwIfAborted();
    throw new Unreachable(`${method} ${url.split('?')[0]} ${causeOf(error, requestSeconds)}`, { cause: error });
  }
}

/** Returns for how many milliseconds the server asks to be left alone; null unless it does, in seconds. */
function pauseAfter({ status, retryAfter }: Exchange): number | null {
  if (status !== 429 || retryAfter === null || !/^\d{1,9}$/.test(retryAfter)) return null;
  return Number(retryAfter) * 1000;
}

function waitText(milliseconds: number): string {
  return `it is to be left alone for ${milliseconds / 1000} s, longer than there is time`;
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
  const help = untrusted.test(reason) ? ": its certificate's authority, as PEM, goes into NODE_EXTRA_CA_CERTS" : '';
  return `could not be asked: ${reason}${help}`;
}

/** OpenSSL's reasons that another authority mends, as Node names them. */
const untrusted = /SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT)/;
