import { once } from 'node:events';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { type AllowedNetworks, reasonOf } from '../networks.ts';
import { guardedLookup, requireSendable } from './address.ts';

/** What came of sending a message: a status that was answered, or an error that says why none was. */
export type Outcome = { status: number; retryAfterSeconds: number | null } | { error: string };

/** How long a receiver may take to answer (Standard Webhooks, "Request timeout"). */
const timeoutMilliseconds = 15_000;

/** How much of an answer is read before the connection is closed. */
const maxAnswerBytes = 65_536;

export type Message = { url: string; headers: Record<string, string>; body: string };

/**
 * Posts a message and returns what came of it, the connection being closed by then. Redirects are not followed, and of an
 * answer only the head counts.
 */
export async function send(message: Message, allowed: AllowedNetworks, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMilliseconds)]);
  try {
    const url = requireSendable(message.url, allowed);
    const { request } = url.protocol === 'https:' ? https : http;
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(message.body),
      'User-Agent': 'Sandpit-Webhooks',
      ...message.headers,
    };
    // A connection of its own: an address that was let through once is asked for again.
    const sending = request(url, { method: 'POST', agent: false, lookup: guardedLookup(allowed), signal, headers });
    // It may fail once more when nobody listens any longer.
    sending.on('error', () => {});
    sending.end(message.body);
    const [answer, upgraded] = await answerTo(sending, signal);
    if (upgraded) upgraded.destroy();
    else await skim(answer);
    const { statusCode: status = 0, headers: answered } = answer;
    return { status, retryAfterSeconds: secondsOf(answered['retry-after']) };
  } catch (error) {
    return { error: failureOf(error as Error, signal) };
  }
}

/** Resolves to an answer and, where the receiver would go on in another protocol, to the connection, which is nobody's by then. */
async function answerTo(sending: ClientRequest, signal: AbortSignal): Promise<[IncomingMessage, Duplex?]> {
  const either = ['response', 'upgrade'].map((event) => once(sending, event, { signal }));
  return Promise.race(either) as Promise<[IncomingMessage, Duplex?]>;
}

/** Reads an answer, so that its sender isn't cut off, as far as an answer to a message goes. */
async function skim(answer: IncomingMessage): Promise<void> {
  let length = 0;
  try {
    for await (const chunk of answer) {
      length += chunk.length;
      // Leaving the loop closes the connection.
      if (length > maxAnswerBytes) break;
    }
  } catch {
    // The status is known all the same.
  }
}

/** Only seconds: a date would be by another machine's clock. */
function secondsOf(retryAfter: string | undefined): number | null {
  return retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : null;
}

function failureOf(error: Error, signal: AbortSignal): string {
  if (signal.reason?.name === 'TimeoutError') return `no answer within ${timeoutMilliseconds / 1000} seconds`;
  return reasonOf(error);
}
