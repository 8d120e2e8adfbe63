import { Turns } from '../../../db/turns.ts';
import { MachineError } from '../error.ts';
import { AgentError, type AgentErrorCode } from './error.ts';
import { Followers } from './followers.ts';
import { frameTypes, initialCredit, maxPayload, protocolError } from './frames.ts';
import { type Reply, ReplyQueue } from './reply-queue.ts';
import { ValueReader } from './values.ts';

/**
 * A call of the agent. Iterating yields the agent's frames up to and including DONE, and grants
 * credit as they are taken, so that a slow reader slows the machine and not the server. It throws
 * AgentError for ERROR, and MachineError `gone` when the connection breaks. Leaving the loop early
 * cancels the call.
 */
export type Call = AsyncIterableIterator<Reply> & {
  /**
   * Sends bytes; resolves when the agent has room for more. Rejects as iterating does. The caller
   * waits for it before it writes again.
   */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Sends no more. */
  end: () => void;
  /** whether it ended well, or was canceled without a reason; replies may be left to read */
  readonly isOver: boolean;
  /** Ends the call: reads and writes, also pending ones, throw the reason if there is one. */
  cancel: (reason?: unknown) => void;
  /** Resolves when the reader is done with what has arrived by now, or the call has ended. */
  caughtUp: () => Promise<void>;
};

/** How calls use their connection. */
export type Line = {
  send: (call: number, type: number, payload: Uint8Array) => void;
  /**
   * Returns null when the connection has room, else a promise for when it has room or is closed.
   */
  room: () => Promise<void> | null;
  /** The call has ended. */
  forget: (call: number, isCanceled: boolean) => void;
};

/** Taken bytes are granted anew in steps of at least this many. */
const grantBytes = 65_536;
/** More credit than any agent needs; it keeps the sum small. */
const maxCredit = 2 ** 31;
const nothing = Buffer.alloc(0);

type Waiter = { resolve: (result: IteratorResult<Reply>) => void; reject: (reason: unknown) => void };

/** One call on a connection, as the connection and as the caller see it. */
export class OpenCall implements Call {
  readonly #number: number;
  readonly #line: Line;
  readonly #signal: AbortSignal | undefined;
  readonly #queue = new ReplyQueue();
  readonly #turns = new Turns();
  readonly #followers = new Followers();
  #waiter: Waiter | null = null;
  /** what ended the call; `reason` is undefined after DONE and after cancel without a reason */
  #ended: { reason: unknown } | null = null;
  /** bytes that the agent may still send */
  #agentCredit = initialCredit;
  /** bytes that were read and not yet granted anew */
  #ungranted = 0;
  /** bytes that may still be sent to the agent */
  #credit = initialCredit;
  #wakeWriter: (() => void) | null = null;

  constructor(number: number, line: Line, signal: AbortSignal | undefined) {
    this.#number = number;
    this.#line = line;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Reply>> {
    if (this.#ungranted >= grantBytes) this.#grant();
    this.#followers.readerAsks();
    if (this.#queue.isEmpty) return this.#ended === null ? this.#arrival() : this.#result(undefined);
    // Replies that are here already would otherwise be read without a pause.
    await this.#turns.next();
    this.#followers.readerTakes();
    return this.#result(this.#queue.shift());
  }

  async return(): Promise<IteratorResult<Reply>> {
    this.cancel();
    return { done: true, value: undefined };
  }

  async caughtUp(): Promise<void> {
    if (this.#ended === null && this.#waiter === null) await this.#followers.follow(this.#queue.length);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      this.#throwIfEnded();
      const length = Math.min(this.#credit, bytes.length - at, maxPayload);
      if (length === 0) {
        await this.#moreCredit();
        continue;
      }
      this.#credit -= length;
      this.#line.send(this.#number, frameTypes.data, bytes.subarray(at, at + length));
      at += length;
      const room = this.#line.room();
      if (room !== null) await room;
    }
    this.#throwIfEnded();
  }

  end(): void {
    if (this.#ended === null) this.#line.send(this.#number, frameTypes.end, nothing);
  }

  get isOver(): boolean {
    return this.#ended !== null && this.#ended.reason === undefined;
  }

  cancel(reason?: unknown): void {
    this.#queue.clear();
    if (this.#ended !== null) return;
    this.#line.send(this.#number, frameTypes.cancel, nothing);
    this.#finish(reason, true);
  }

  /** Ends a call that the agent never heard of. */
  refuse(reason: unknown): void {
    this.#ended = { reason };
    this.#signal?.removeEventListener('abort', this.#abort);
  }

  /** Ends the call because the connection has ended. */
  fail(reason: MachineError): void {
    if (this.#ended === null) this.#finish(reason, false);
  }

  /** Takes a frame of the agent. Throws MachineError if the agent may not send it. */
  receive(type: number, payload: Buffer): void {
    if (type === frameTypes.data) this.#deliver('data', payload);
    else if (type === frameTypes.stderr) this.#deliver('stderr', payload);
    else if (type === frameTypes.message) this.#deliver('message', payload);
    else if (type === frameTypes.credit) this.#addCredit(payload);
    else if (type === frameTypes.error) this.#finish(readError(payload), false);
    else this.#done(payload);
  }

  #deliver(type: Reply['type'], payload: Buffer): void {
    this.#agentCredit -= payload.length;
    if (this.#agentCredit < 0) throw protocolError('it sent more than it may');
    this.#hand(type, payload);
  }

  #done(payload: Buffer): void {
    this.#hand('done', payload);
    this.#finish(undefined, false);
  }

  #hand(type: Reply['type'], payload: Buffer): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    if (waiter === null) this.#queue.push(type, payload);
    else waiter.resolve(this.#result({ type, payload }));
  }

  #addCredit(payload: Buffer): void {
    const granted = new ValueReader(payload);
    this.#credit += granted.u32();
    granted.finish();
    if (this.#credit > maxCredit) throw protocolError('it granted too much');
    this.#wake();
  }

  #finish(reason: unknown, isCanceled: boolean): void {
    this.#ended = { reason };
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#line.forget(this.#number, isCanceled);
    this.#wake();
    this.#followers.end();
    const waiter = this.#waiter;
    this.#waiter = null;
    if (reason !== undefined) waiter?.reject(reason);
    else waiter?.resolve({ done: true, value: undefined });
  }

  /** Resolves when there is credit again, or the call has ended. */
  #moreCredit(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  #wake(): void {
    this.#wakeWriter?.();
    this.#wakeWriter = null;
  }

  #arrival(): Promise<IteratorResult<Reply>> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** Returns a reply to the reader, or what stands at the end of the call. */
  #result(reply: Reply | undefined): IteratorResult<Reply> {
    if (reply !== undefined) {
      if (reply.type !== 'done') this.#ungranted += reply.payload.length;
      return { done: false, value: reply };
    }
    if (this.#ended?.reason !== undefined) throw this.#ended.reason;
    return { done: true, value: undefined };
  }

  #grant(): void {
    if (this.#ended !== null) return;
    const granted = Buffer.allocUnsafe(4);
    granted.writeUInt32LE(this.#ungranted);
    this.#line.send(this.#number, frameTypes.credit, granted);
    this.#agentCredit += this.#ungranted;
    this.#ungranted = 0;
  }

  #throwIfEnded(): void {
    if (this.#ended === null) return;
    throw this.#ended.reason ?? new MachineError('failed', 'The call of the agent has ended.');
  }

  readonly #abort = (): void => this.cancel(this.#signal?.reason);
}

/** Error codes by their number in `PROTOCOL.md`. */
const errorCodes: readonly AgentErrorCode[] = [
  'invalid_argument',
  'not_found',
  'already_exists',
  'unauthenticated',
  'resource_exhausted',
  'failed_precondition',
  'internal',
  'unimplemented',
  'permission_denied',
];

/** Longer messages of the agent are cut. */
const maxMessageLength = 4_096;

function readError(payload: Buffer): AgentError {
  const reader = new ValueReader(payload);
  const number = reader.u8();
  const message = reader.string();
  reader.finish();
  const code = errorCodes[number - 1];
  if (code === undefined) throw protocolError(`it sent the unknown error code ${number}`);
  return new AgentError(code, message.slice(0, maxMessageLength));
}
