import { get, type Schemas } from './api.ts';
import { ApiError, type Options, send } from './call.ts';

export type Entry = Schemas['EnvdEntry'];

/** What is needed to talk to the inside of a running sandbox: E2B's agent protocol. */
export type Inside = { id: string; token: string };

/**
 * Returns how to talk to a sandbox's inside; null when it has no machine. Rejects with ApiError.
 */
export async function insideOf(id: string): Promise<Inside | null> {
  const { envdAccessToken: token } = await get<Schemas['SandboxDetail']>(`sandboxes/${encodeURIComponent(id)}`);
  return token === undefined ? null : { id, token };
}

/**
 * Sends a request to a sandbox's inside. It carries the sandbox's token, not the user's credential.
 */
export function ask({ id, token }: Inside, method: string, path: string, options: Options = {}): Promise<Response> {
  const headers = {
    'E2b-Sandbox-Id': id,
    'E2b-Sandbox-Port': '49983',
    'X-Access-Token': token,
    ...user,
    ...options.headers,
  };
  return send(null, method, path, { ...options, headers });
}

/** Commands and files are those of the machine's user `user`. */
const user = { Authorization: `Basic ${btoa('user:')}` };

/** Calls a procedure that answers once (the Connect protocol). */
export async function procedure<T>(inside: Inside, path: string, json: unknown): Promise<T> {
  return (await ask(inside, 'POST', path, { json })).json();
}

/** Calls a procedure that answers with a stream of messages, until it ends or the signal aborts. */
export async function* stream<T>(
  inside: Inside,
  path: string,
  message: unknown,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const headers = { 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1' };
  const answer = await ask(inside, 'POST', path, { body: envelope(message), headers, signal });
  for await (const { isLast, text } of envelopes(answer)) {
    const { error } = isLast ? (JSON.parse(text) as { error?: { message?: string } }) : {};
    if (error) throw new ApiError(500, error.message ?? 'The sandbox ended the connection.');
    if (isLast) return;
    yield JSON.parse(text);
  }
}

/**
 * A flag, the length as `u32` in network order, and the message (Connect protocol, "Streaming
 * RPCs").
 */
function envelope(message: unknown): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(5 + text.length);
  new DataView(bytes.buffer).setUint32(1, text.length);
  bytes.set(text, 5);
  return bytes;
}

async function* envelopes(answer: Response): AsyncGenerator<{ isLast: boolean; text: string }> {
  let pending = new Uint8Array(0);
  for await (const chunk of answer.body ?? []) {
    pending = joined(pending, chunk);
    while (pending.length >= 5) {
      const end = 5 + new DataView(pending.buffer, pending.byteOffset).getUint32(1);
      if (pending.length < end) break;
      yield { isLast: ((pending[0] ?? 0) & 2) !== 0, text: new TextDecoder().decode(pending.subarray(5, end)) };
      pending = pending.subarray(end);
    }
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
