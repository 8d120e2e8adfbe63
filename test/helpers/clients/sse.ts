import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

/** What a stream of server-sent events says: `event` is empty for what sets the id only, `comment` for what is none. */
export type Message = { id?: string; event?: string; data?: string; comment?: string };

export type Stream = {
  status: number;
  headers: IncomingMessage['headers'];
  /** Returns the next message that is an event; throws an Error when the stream has ended. */
  next: () => Promise<Message>;
  /** As `next`, whatever the message is. */
  nextAny: () => Promise<Message>;
  /** Returns the events that are left once the stream has ended. */
  rest: () => Promise<Message[]>;
  /** The id that a client would resume with. */
  lastId: () => string | undefined;
  close: () => void;
};

/** Opens a stream of server-sent events. */
export async function openStream(url: string, headers: Record<string, string>): Promise<Stream> {
  const request = get(url, { headers, agent: new Agent({ keepAlive: false }) });
  // As it is when the server is killed.
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
    ...{ next, nextAny, rest, lastId: () => lastId },
    close: () => void request.destroy(),
  };
}

/** WHATWG HTML, 9.2.6, as far as the server makes use of it. A connection that is cut is an end as any other. */
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
