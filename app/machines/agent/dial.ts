import { Duplex } from 'node:stream';
import type { Agent } from './agent.ts';
import type { Call } from './call.ts';
import { expectType, nextReply, readDone, readNothing, readWhole } from './requests.ts';
import { ArgumentWriter } from './values.ts';

/**
 * Connects to a port at which a program in the machine listens, if only at a loopback address.
 * Either side may end before the other. The signal only bounds connecting. Throws AgentError
 * `failed_precondition` for a closed port, MachineError, and the reason of the signal.
 */
export async function dial(agent: Agent, port: number, signal: AbortSignal): Promise<Duplex> {
  const call = agent.open('dial', new ArgumentWriter().u16(port).bytes());
  const giveUp = () => call.cancel(signal.reason);
  signal.addEventListener('abort', giveUp);
  try {
    signal.throwIfAborted();
    readWhole(expectType(await nextReply(call), 'message').payload, readNothing);
    return new Connection(call);
  } catch (error) {
    call.cancel();
    throw error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

/** A call that is connected, as a stream. It reads no faster than its reader. */
class Connection extends Duplex {
  readonly #call: Call;

  constructor(call: Call) {
    super({ allowHalfOpen: true });
    this.#call = call;
  }

  override _read(): void {
    this.#readOne().catch((error) => void this.destroy(error));
  }

  /** What a program does not take any more is dropped: what it has sent still arrives. */
  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#call.write(bytes).then(
      () => done(),
      (error) => done(this.#call.isOver ? null : error),
    );
  }

  override _final(done: () => void): void {
    this.#call.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#call.cancel();
    done(error);
  }

  /** Ends, and is closed once everything has been sent: node:http calls this, as of a socket. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }

  /** For node:http, whose sockets can let the process end. A call never does. */
  ref(): void {}

  async #readOne(): Promise<void> {
    const reply = await nextReply(this.#call);
    if (reply.type === 'data') return void this.push(reply.payload);
    readWhole(expectType(reply, 'message').payload, readNothing);
    this.push(null);
    // The call ends when the other direction does.
    readDone(await nextReply(this.#call), readNothing);
  }
}
