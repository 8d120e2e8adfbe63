import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { Networks } from '../../config/network-readers.ts';
import { reasonOf } from '../../http/addresses.ts';
import { guardedLookup, requireSendable } from './address.ts';
import type { Connections } from './connections.ts';

/** The receiver's answer, or why there was none. */
export type Outcome = { status: number; retryAfter: string | null } | { error: string };

/** How much of an answer is read, and for how long, before the connection is closed. */
const maxAnswerBytes = 65_536;
const maxAnswerMilliseconds = 1000;

export type Message = { url: string; headers: Record<string, string>; body: string };

export type Sending = {
  allowed: Networks;
  connections: Connections;
  /** Aborts the attempt; its reason, an Error, becomes the outcome. */
  signal: AbortSignal;
};

/**
 * Posts a message and returns the outcome. Does not follow redirects; ignores the answer's body.
 */
export async function send(message: Message, sending: Sending): Promise<Outcome> {
  try {
    const url = requireSendable(message.url, sending.allowed);
    const [answer, upgraded] = await answerTo(url, message, sending);
    if (upgraded) upgraded.destroy();
    else await drain(answer);
    return { status: answer.statusCode ?? 0, retryAfter: answer.headers['retry-after'] ?? null };
  } catch (error) {
    return { error: reasonOf(sending.signal.aborted ? sending.signal.reason : error) };
  }
}

/** An answer, and its connection if the receiver switched protocols. */
type Answer = [IncomingMessage, Duplex?];

/** Retries on a new connection when the receiver has just closed the kept one. */
async function answerTo(url: URL, message: Message, sending: Sending): Promise<Answer> {
  const request = post(url, message, sending, sending.connections.agentFor(url));
  try {
    return await answerOf(request);
  } catch (error) {
    if (!request.reusedSocket || sending.signal.aborted) throw error;
    return answerOf(post(url, message, sending, false));
  }
}

function post(
  url: URL,
  { headers, body }: Message,
  { allowed, signal }: Sending,
  agent: http.Agent | false,
): ClientRequest {
  const { request } = url.protocol === 'https:' ? https : http;
  const sending = request(url, {
    method: 'POST',
    agent,
    signal,
    // Runs for each new connection; a kept one stays with an address that was checked.
    lookup: guardedLookup(allowed),
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'User-Agent': 'Sandpit-Webhooks',
      ...headers,
    },
  });
  sending.end(body);
  return sending;
}

function answerOf(request: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on('response', (answer) => resolve([answer]));
    request.on('upgrade', (answer, connection) => resolve([answer, connection]));
    request.on('error', reject);
  });
}

/** Reads and discards an answer's body, within bounds, so that the connection can be reused. */
function drain(answer: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let length = 0;
    const timer = setTimeout(() => answer.destroy(), maxAnswerMilliseconds);
    answer.on('data', (chunk) => {
      length += chunk.length;
      if (length > maxAnswerBytes) answer.destroy();
    });
    // The status is known already.
    answer.on('error', () => {});
    answer.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
