import { expect } from 'chai';
import { schemaChecker } from '../../../spec/responses.ts';
import type { components } from '../../../spec/types.gen.ts';
import { checkResponse, contract } from '../contract.ts';
import type { Machine } from './machine-client.ts';

type Schemas = components['schemas'];
export type ProcessMessage = Schemas['EnvdProcessMessage'];
export type WatchMessage = Schemas['EnvdWatchMessage'];
export type End = { error?: { code: string; message: string } };
type Headers = Record<string, string>;

const misfitOf = schemaChecker(contract);

/** Calls a unary procedure. Returns the status and the body. */
export async function call(machine: Machine, procedure: string, message: object, headers: Headers = {}) {
  const { status, json } = await machine.call(`/${procedure}`, {
    method: 'POST',
    headers: { ...machine.headers, 'Content-Type': 'application/json', 'Connect-Protocol-Version': '1', ...headers },
    body: JSON.stringify(message),
  });
  // biome-ignore lint/suspicious/noExplicitAny: the contract checks it
  return { status, body: json() as any };
}

/** Returns a message of a stream. */
export function enveloped(message: object | string, flags = 0): Buffer {
  const json = Buffer.from(typeof message === 'string' ? message : JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt8(flags);
  head.writeUInt32BE(json.length, 1);
  return Buffer.concat([head, json]);
}

/** The answers of a stream, each checked against the contract. */
export class RpcStream<M> {
  readonly response: Response;
  /** Breaks the connection. */
  readonly close: () => void;
  readonly #messages: AsyncGenerator<M, End>;

  constructor(response: Response, procedure: string, close: () => void) {
    this.response = response;
    this.close = close;
    this.#messages = messagesOf(response, procedure) as AsyncGenerator<M, End>;
  }

  /** Returns the next message. Throws an Error at the end of the stream. */
  async next(): Promise<M> {
    const { done, value } = await this.#messages.next();
    if (done) throw new Error(`the stream has ended: ${JSON.stringify(value)}`);
    return value;
  }

  /** Reads to the end. Returns the remaining messages, and what the last one says. */
  async rest(): Promise<{ messages: M[]; end: End }> {
    const messages: M[] = [];
    for (;;) {
      const { done, value } = await this.#messages.next();
      if (done) return { messages, end: value };
      messages.push(value);
    }
  }
}

/** Opens a stream with its one message. */
export async function open<M = ProcessMessage>(
  machine: Machine,
  procedure: string,
  message: object | Buffer,
  headers: Headers = {},
): Promise<RpcStream<M>> {
  const controller = new AbortController();
  const response = await fetch(`${machine.url}/${procedure}`, {
    method: 'POST',
    headers: { ...machine.headers, 'Content-Type': 'application/connect+json', ...headers },
    body: (Buffer.isBuffer(message) ? message : enveloped(message)) as NonNullable<RequestInit['body']>,
    signal: controller.signal,
  });
  checkResponse('POST', `/${procedure}`, response.status, response.headers.get('content-type') ?? '', '');
  return new RpcStream<M>(response, procedure, () => controller.abort());
}

/** Starts a program. */
export function start(
  machine: Machine,
  process: Schemas['EnvdProcessConfig'],
  rest: Partial<Schemas['EnvdStart']> = {},
  headers: Headers = {},
): Promise<RpcStream<ProcessMessage>> {
  return open(machine, 'process.Process/Start', { process, ...rest }, headers);
}

/** Runs a shell command to its end. Returns what it printed, and how it ended. */
export async function run(machine: Machine, command: string, rest: Partial<Schemas['EnvdStart']> = {}) {
  const stream = await start(machine, { cmd: '/bin/sh', args: ['-c', command] }, { stdin: false, ...rest });
  return summary((await stream.rest()).messages);
}

/** Returns the output in a process's messages, and how it ended. */
export function summary(messages: ProcessMessage[]) {
  const text = (name: 'stdout' | 'stderr' | 'pty') =>
    messages.map(({ event }) => Buffer.from(event.data?.[name] ?? '', 'base64').toString('latin1')).join('');
  const ends = messages.flatMap(({ event }) => event.end ?? []);
  return { stdout: text('stdout'), stderr: text('stderr'), pty: text('pty'), end: ends[0] };
}

/** Reads a process's messages until its output matches. Returns the output so far. */
export async function shows(stream: RpcStream<ProcessMessage>, pattern: RegExp): Promise<string> {
  let text = '';
  while (!pattern.test(text)) {
    const { event } = await stream.next();
    const { stdout, stderr, pty } = event.data ?? {};
    text += Buffer.from(stdout ?? stderr ?? pty ?? '', 'base64').toString();
  }
  return text;
}

/** Reads the first message of a process. Returns the process's id. */
export async function pidOf(stream: RpcStream<ProcessMessage>): Promise<number> {
  const { event } = await stream.next();
  expect(Object.keys(event)).to.deep.equal(['start']);
  return event.start?.pid ?? 0;
}

async function* messagesOf(response: Response, procedure: string): AsyncGenerator<unknown, End> {
  const pointer = `#/paths/~1${procedure.replace('/', '~1')}/post/responses/200/content/application~1connect+json/schema`;
  let bytes: Buffer = Buffer.alloc(0);
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
      const json = bytes.subarray(5, 5 + bytes.readUInt32BE(1)).toString();
      const isEnd = bytes[0] === 2;
      bytes = bytes.subarray(5 + bytes.readUInt32BE(1));
      if (isEnd) return JSON.parse(json) as End;
      expect(misfitOf(pointer, json), json).to.equal(null);
      yield JSON.parse(json);
    }
  }
  throw new Error('the stream has no last message');
}
