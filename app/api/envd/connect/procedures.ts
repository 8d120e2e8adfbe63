import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { paths } from '../../../../spec/types.gen.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { codeFor } from '../../../http/connect.ts';
import { sendJson } from '../../../http/json.ts';
import type { Streams } from '../../../http/streams/streams.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import { AgentError } from '../../../machines/agent/error.ts';
import { machineFailure, NotRunning } from '../../../machines/running.ts';
import { findTarget, type Target } from '../target.ts';
import { messagesOf, onlyMessage } from './envelopes.ts';
import { type Message, MessageReader, type Procedure } from './message.ts';
import { MessageStream } from './message-stream.ts';

/** A procedure's call whose sandbox runs, and whose access token is right. */
export type Call = {
  target: Target;
  agent: Agent;
  /** The longest time that the call may take, in milliseconds; 0: no limit. */
  timeoutMilliseconds: number;
  /** Aborted when the client is gone or has its answer. */
  gone: AbortSignal;
};

type Answers<P extends Procedure> = paths[P]['post'] extends { responses: { 200: { content: infer Content } } }
  ? Content
  : never;

/** What a procedure answers that is no stream. */
export type Answer<P extends Procedure> = Answers<P> extends { 'application/json': infer Body } ? Body : never;

/** Handles a procedure. Returns the answer, or its JSON text. */
type Unary<P extends Procedure> = (message: Message<P>, call: Call) => Promise<Answer<P> | string>;

/** Sends a procedure's answers. The wrapper ends the stream. */
type Streaming<P extends Procedure> = (message: Message<P>, call: Call, stream: MessageStream) => Promise<void>;

/** Takes a procedure's messages, until the signal. The answer is empty. */
type Receiving<P extends Procedure> = (
  messages: AsyncGenerator<Message<P>>,
  call: Call,
  signal: AbortSignal,
) => Promise<void>;

const maxTimeoutMilliseconds = 2 ** 31 - 1;

/**
 * The routes of Connect's procedures (connectrpc.com, "Protocol reference"), with JSON only. Each
 * finds the sandbox and checks its access token, then reads the message and checks it against the
 * contract, then calls the handler. A call counts as a stream of its sandbox, because the sandbox
 * decides how long it takes.
 */
export class Procedures {
  readonly router = Router();
  readonly #context: Context;
  readonly #streams: Streams;
  readonly #find: (req: Request) => Promise<Target>;

  constructor(context: Context, streams: Streams) {
    this.#context = context;
    this.#streams = streams;
    this.#find = findTarget(context);
  }

  /** Adds a procedure with one answer. */
  unary<P extends Procedure>(path: P, handle: Unary<P>): void {
    const { contract, config } = this.#context;
    const reader = new MessageReader(contract, path);
    this.#add(path, async (target, req, res) => {
      const message = reader.parse(await reader.readBody(req, res));
      this.#streams.take(res, target.id);
      const answer = await handle(message, await callOf(target, req, res));
      if (typeof answer === 'string') sendJson(res, config, answer);
      else res.json(answer);
    });
  }

  /** Adds a procedure with many answers. `keepalive` is the JSON of an answer that says nothing. */
  stream<P extends Procedure>(path: P, keepalive: string, handle: Streaming<P>): void {
    const reader = new MessageReader(this.#context.contract, path);
    this.#add(path, async (target, req, res) => {
      const message = reader.parse(onlyMessage(await reader.readBody(req, res)));
      this.#streams.take(res, target.id);
      const call = await callOf(target, req, res);
      await this.#answer(target, new MessageStream(req, res, keepalive), res, (stream) =>
        handle(message, call, stream),
      );
    });
  }

  /** Adds a procedure that is called with many messages. */
  receive<P extends Procedure>(path: P, handle: Receiving<P>): void {
    const reader = new MessageReader(this.#context.contract, path);
    this.#add(path, async (target, req, res) => {
      reader.checkType(req);
      this.#streams.take(res, target.id);
      const call = await callOf(target, req, res);
      const stream = new MessageStream(req, res, '{}');
      stream.endAfter(call.timeoutMilliseconds);
      try {
        await this.#answer(target, stream, res, async () => {
          await handle(parsed(reader, req), call, stream.over);
          await stream.send('{}');
        });
      } finally {
        // Without this, the connection could not be used again.
        req.resume();
      }
    });
  }

  #add(path: string, handle: (target: Target, req: Request, res: Response) => Promise<void>): void {
    const route: RequestHandler = async (req, res) => {
      const target = await this.#find(req);
      try {
        await handle(target, req, res);
      } catch (error) {
        // Nobody is there to read the answer.
        if (!res.destroyed) throw machineFailure(target.id, error);
      }
    };
    this.router.post(path, route);
  }

  /**
   * Runs the handler of a stream, and ends the stream: with an error if the handler throws one, or
   * by cutting the connection if the machine is gone. Before the first answer it throws the error.
   */
  async #answer(
    target: Target,
    stream: MessageStream,
    res: Response,
    handle: (stream: MessageStream) => Promise<void>,
  ): Promise<void> {
    const { stopping } = this.#context;
    const cut = () => stream.cut();
    stopping.addEventListener('abort', cut);
    try {
      await handle(stream);
      stream.end();
    } catch (thrown) {
      const error = machineFailure(target.id, thrown);
      if (stream.over.aborted) return;
      if (!res.headersSent) throw error;
      if (error instanceof NotRunning) stream.cut();
      else stream.end(this.#shown(error));
    } finally {
      stopping.removeEventListener('abort', cut);
      stream.stop();
    }
  }

  /** Returns the part of an error that clients may see. */
  #shown(error: unknown): { code: ReturnType<typeof codeFor>; message: string } {
    if (error instanceof AgentError) return { code: error.code, message: error.message };
    if (error instanceof HttpError) return { code: codeFor(error), message: error.message };
    this.#context.log.error({ err: error }, 'stream failed');
    return { code: 'internal', message: 'Internal Server Error' };
  }
}

async function callOf(target: Target, req: Request, res: Response): Promise<Call> {
  const asked = Number(req.get('connect-timeout-ms') ?? 0);
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  return {
    target,
    agent: await target.agent(),
    timeoutMilliseconds: Math.min(asked, maxTimeoutMilliseconds),
    gone: gone.signal,
  };
}

async function* parsed<P extends Procedure>(reader: MessageReader<P>, req: Request): AsyncGenerator<Message<P>> {
  for await (const text of messagesOf(req)) yield reader.parse(text);
}
