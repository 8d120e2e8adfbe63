import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

/**
 * A message of a stream of server-sent events. `event` is empty if the message only sets the id;
 * `comment` is set if it is a comment.
 */
export type Message = { id?: string; event?: string; data?: string; comment?: string };

export type Stream = {
  status: number;
  headers: IncomingMessage['headers'];
  /** Returns the next event. Throws an Error if the stream has ended. */
  next: () => Promise<Message>;
  /** Returns the next message of any kind. */
  nextAny: () => Promise<Message>;
  /** Waits for the end of the stream. Returns the remaining events. */
  rest: () => Promise<Message[]>;
  /** The id that a client would resume with. */
  lastId: () => string | undefined;
  close: () => void;
};

/** Opens a stream of server-sent events. */
export async function openStream(url: string, headers: Record<string, string>): Promise<Stream> {
  const request = get(url, { headers, agent: new Agent({ keepAlive: false }) });
  // The connection is reset when the server is killed.
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  const messages = messagesOf(response);
  let lastId: string | undefined;
  const nextAny = async () => {
    const { value, done } = await messages.next();
    if (done) throw new Error('the stream has ended');
    lastId = value.id ?? lastId;
    return value;
  };
  const next = async () => {
    for (;;) {
      const message = await nextAny();
      if (message.data !== undefined) return message;
    }
  };
  const rest = async () => {
    const left: Message[] = [];
    for await (const message of messages) {
      lastId = message.id ?? lastId;
      if (message.data !== undefined) left.push(message);
    }
    return left;
  };
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    next,
    nextAny,
    rest,
    lastId: () => lastId,
    close: () => void request.destroy(),
  };
}

/**
 * Parses the part of WHATWG HTML, 9.2.6, that the server uses. A closed connection ends the
 * stream.
 */
async function* messagesOf(response: IncomingMessage): AsyncGenerator<Message> {
  let message: Message = {};
  try {
    for await (const line of createInterface({ input: response })) {
      if (line === '') {
        yield message;
        message = {};
        continue;
      }
      const [, name = '', value = ''] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
      message[(name || 'comment') as keyof Message] = value;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
}
