import type { Duplex } from 'node:stream';
import { MachineError } from '../error.ts';
import { type Call, OpenCall } from './call.ts';
import { AgentError } from './error.ts';
import { FrameReader, frameHeader, frameTypes, initialCredit, protocolError } from './frames.ts';
import { ValueReader } from './values.ts';

/** The version of `PROTOCOL.md` that this program speaks. */
export const protocolVersion = 1;

/** An operation of `PROTOCOL.md`, by its number. */
export const operations = {
  start: 1,
  connect: 2,
  list: 3,
  signal: 4,
  resize: 5,
  input: 6,
  closeInput: 7,
  output: 8,
  stat: 16,
  readDirectory: 17,
  makeDirectory: 18,
  move: 19,
  remove: 20,
  read: 21,
  write: 22,
  watch: 23,
  sync: 24,
  disk: 25,
  dial: 26,
  network: 27,
};

export type Operation = keyof typeof operations;

/** A connection to the agent of one machine. */
export type Agent = {
  /**
   * Begins a call, which the signal cancels. A call that can't begin fails when it is read or
   * written.
   */
  open: (operation: Operation, args: Buffer, signal?: AbortSignal) => Call;
  /** Resolves when the connection has ended, for whatever reason. */
  closed: Promise<void>;
  close: () => void;
};

/** More calls at once are refused. */
const maxCalls = 1_024;
/** An agent that has left more than this unread gets no further calls. */
const maxUnsent = 8 * 2 ** 20;
/** After so many bytes they are acknowledged, to agents that wait for that. */
const acknowledgedBytes = 16_384;
/** After so many frames other connections get their turn. */
const framesPerTurn = 4_096;

/**
 * Speaks the protocol over a channel. Rejects with MachineError, and destroys the channel, if the
 * agent does not greet within the deadline or speaks another version.
 */
export async function connectAgent(channel: Duplex, deadlineMilliseconds = 10_000): Promise<Agent> {
  const connection = new Connection(channel);
  const late = setTimeout(
    () => connection.fail(new MachineError('timeout', 'The agent of the sandbox did not answer in time.')),
    deadlineMilliseconds,
  );
  try {
    await connection.greeted;
  } finally {
    clearTimeout(late);
  }
  return connection;
}

class Connection implements Agent {
  readonly closed: Promise<void>;
  /** Resolves once the agent has said hello. */
  readonly greeted: Promise<void>;
  readonly #channel: Duplex;
  readonly #calls = new Map<number, OpenCall>();
  readonly #greeting = Promise.withResolvers<void>();
  #hasGreeted = false;
  #failure: MachineError | null = null;
  /** the highest number that a call has had */
  #highest = 0;
  #last = 0;
  /** how many bytes of canceled calls may still arrive */
  #strayBytes = 0;
  #framesThisTurn = 0;
  /** bytes that have arrived and were not acknowledged */
  #unacknowledged = 0;
  #mustAcknowledge = false;
  #drained: Promise<void> | null = null;
  #isCorked = false;

  constructor(channel: Duplex) {
    this.#channel = channel;
    this.greeted = this.#greeting.promise;
    const reader = new FrameReader((call, type, payload) => this.#receive(call, type, payload));
    channel.on('data', (chunk: Buffer) => this.#read(reader, chunk));
    channel.on('error', (error) => this.fail(goneError(error)));
    channel.on('end', () => this.fail(goneError()));
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.fail(goneError());
        resolve();
      };
      if (channel.closed) end();
      else channel.once('close', end);
    });
  }

  open(operation: Operation, args: Buffer, signal?: AbortSignal): Call {
    const number = this.#freeNumber();
    const call = new OpenCall(number, this.#line, signal);
    const refusal = this.#failure ?? this.#refusal() ?? (signal?.aborted ? signal.reason : null);
    if (refusal !== null) {
      call.refuse(refusal);
      return call;
    }
    this.#last = number;
    this.#highest = Math.max(this.#highest, number);
    this.#calls.set(number, call);
    const payload = Buffer.allocUnsafe(1 + args.length);
    payload[0] = operations[operation];
    args.copy(payload, 1);
    this.#line.send(number, frameTypes.open, payload);
    return call;
  }

  close(): void {
    this.fail(new MachineError('gone', 'The connection to the sandbox was closed.'));
  }

  /** Ends the connection and all its calls. */
  fail(reason: MachineError): void {
    if (this.#failure !== null) return;
    this.#failure = reason;
    this.#channel.destroy();
    this.#greeting.reject(reason);
    // Nobody waits for the greeting any more once it has come.
    this.greeted.catch(() => {});
    for (const call of this.#calls.values()) call.fail(reason);
  }

  readonly #line = {
    send: (call: number, type: number, payload: Uint8Array): void => {
      if (this.#failure !== null) return;
      this.#cork();
      this.#channel.write(frameHeader(call, type, payload.length));
      if (payload.length > 0) this.#channel.write(payload);
    },
    room: (): Promise<void> | null => {
      if (!this.#channel.writableNeedDrain || this.#failure !== null) return null;
      this.#drained ??= this.#waitForDrain();
      return this.#drained;
    },
    forget: (call: number, isCanceled: boolean): void => {
      if (this.#calls.delete(call) && isCanceled) this.#strayBytes += 2 * initialCredit;
    },
  };

  /** Joins the frames of one turn of the event loop into one write to the system. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#channel.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#channel.uncork();
    });
  }

  async #waitForDrain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#channel.once('drain', resolve).once('close', resolve);
    await promise;
    this.#channel.off('drain', resolve).off('close', resolve);
    this.#drained = null;
  }

  #refusal(): Error | null {
    if (this.#calls.size >= maxCalls)
      return new AgentError('resource_exhausted', `the sandbox already answers ${maxCalls} calls`);
    if (this.#channel.writableLength > maxUnsent)
      return new MachineError('timeout', 'The agent of the sandbox does not take any more calls.');
    return null;
  }

  #freeNumber(): number {
    let number = this.#last;
    do number = number === 0xffff_ffff ? 1 : number + 1;
    while (this.#calls.has(number));
    return number;
  }

  #read(reader: FrameReader, chunk: Buffer): void {
    if (this.#failure !== null) return;
    try {
      this.#framesThisTurn += reader.push(chunk);
    } catch (error) {
      this.fail(error instanceof MachineError ? error : protocolError(String(error)));
      return;
    }
    this.#unacknowledged += chunk.length;
    if (this.#mustAcknowledge && this.#unacknowledged >= acknowledgedBytes) this.#acknowledge();
    if (this.#framesThisTurn < framesPerTurn) return;
    this.#framesThisTurn = 0;
    this.#channel.pause();
    setImmediate(() => this.#channel.resume());
  }

  #acknowledge(): void {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32LE(this.#unacknowledged);
    this.#unacknowledged = 0;
    this.#line.send(0, frameTypes.credit, bytes);
  }

  #receive(number: number, type: number, payload: Buffer): void {
    if (!this.#hasGreeted || type === frameTypes.hello) this.#greet(number, type, payload);
    else {
      const call = this.#calls.get(number);
      if (call !== undefined) call.receive(type, payload);
      else if (number === 0 && type === frameTypes.credit) this.#mustAcknowledge = true;
      else this.#receiveStray(number, payload);
    }
  }

  #greet(number: number, type: number, payload: Buffer): void {
    if (this.#hasGreeted || number !== 0 || type !== frameTypes.hello) throw protocolError('its greeting is missing');
    const hello = new ValueReader(payload);
    checkVersion(hello.u16());
    hello.rest();
    this.#hasGreeted = true;
    this.#greeting.resolve();
  }

  /** Passes over frames of canceled calls, which the agent may have sent before it knew. */
  #receiveStray(number: number, payload: Buffer): void {
    this.#strayBytes -= payload.length + 1;
    if (number === 0 || number > this.#highest || this.#strayBytes < 0)
      throw protocolError(`it answered call ${number}, which is not open`);
  }
}

function checkVersion(version: number): void {
  if (version === protocolVersion) return;
  const age = version < protocolVersion ? 'an older' : 'a newer';
  throw new MachineError(
    'failed',
    `This sandbox was started by ${age} Sandpit, whose agent speaks version ${version} of the protocol; ` +
      `this Sandpit speaks version ${protocolVersion}. Start a new sandbox.`,
  );
}

function goneError(cause?: Error): MachineError {
  return new MachineError('gone', 'The connection to the sandbox broke, or the sandbox has ended.', { cause });
}
