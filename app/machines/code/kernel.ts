import { randomInt } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import {
  connectProcess,
  type Exit,
  type ProcessEvent,
  type Selector,
  sendInput,
  signalProcess,
  signals,
  startProcess,
} from '../agent/processes.ts';
import { MachineError } from '../error.ts';
import { argumentsOf, type Language, requestOf } from './languages.ts';
import { MarkedOutput, type Message } from './marked-output.ts';
import { Relay } from './relay.ts';

/** What happens while a piece of code runs. The last is `done` or `exit`. */
export type KernelEvent =
  | { type: 'output'; source: 'stdout' | 'stderr'; bytes: Buffer }
  | { type: 'message'; message: Message }
  | { type: 'done'; isOk: boolean; count: number; exitCode: number | null; cpuSeconds: number | null }
  | { type: 'exit'; exit: Exit; hadBegun: boolean };

/** What a kernel is started with. */
export type KernelSpec = {
  language: Language;
  /** names its process in the machine */
  tag: string;
  /** begins its messages: nobody else's output has it */
  mark: string;
  /** empty: the machine's default */
  user: string;
  /** empty: the user's home */
  cwd: string;
  env: Record<string, string>;
};

const limits = {
  startMilliseconds: 60_000,
  interruptMilliseconds: 2000,
  againMilliseconds: 250,
  syncMilliseconds: 3000,
};

/**
 * A process in a machine that runs code of one language, piece after piece, and keeps its
 * variables. It lives on when the connection to the machine ends.
 */
export class Kernel {
  readonly #agent: Agent;
  readonly #language: Language;
  readonly #process: Selector;
  readonly #stdout: MarkedOutput;
  readonly #stderr: MarkedOutput;
  readonly #ready = Promise.withResolvers<void>();
  #running: Running | null = null;
  #exit: Exit | null = null;
  /** the end of what it has printed to standard error while it ran no code */
  #lastWords = '';
  /** Resolves when the process has ended, or the connection to its machine. */
  readonly ended: Promise<void>;

  private constructor(agent: Agent, { language, tag, mark }: KernelSpec, events: AsyncIterable<ProcessEvent>) {
    this.#agent = agent;
    this.#language = language;
    this.#process = { tag };
    this.#stdout = new MarkedOutput(mark);
    this.#stderr = new MarkedOutput(mark);
    this.ended = this.#follow(events);
    // The first to wait is `start`; `attach` waits for something else.
    this.#ready.promise.catch(() => {});
  }

  /**
   * Starts a kernel and returns it once it takes code. Throws AgentError, also for a program that
   * the image does not have, and MachineError.
   */
  static async start(agent: Agent, spec: KernelSpec): Promise<Kernel> {
    const events = startProcess(agent, {
      user: spec.user,
      cwd: spec.cwd,
      args: argumentsOf(spec.language, spec.mark),
      env: spec.env,
      hasStdin: true,
      terminal: null,
      timeoutMilliseconds: 0,
      tag: spec.tag,
    });
    const kernel = new Kernel(agent, spec, events);
    const late = setTimeout(() => kernel.#fail(tooSlow()), limits.startMilliseconds);
    try {
      await kernel.#ready.promise;
    } catch (error) {
      await kernel.kill();
      throw error;
    } finally {
      clearTimeout(late);
    }
    return kernel;
  }

  /**
   * Returns a kernel that another connection has started, once what it still runs is interrupted;
   * null if it does not obey, and then it is killed.
   */
  static async attach(agent: Agent, spec: KernelSpec): Promise<Kernel | null> {
    const kernel = new Kernel(agent, spec, connectProcess(agent, { tag: spec.tag }));
    await kernel.interrupt();
    const late = AbortSignal.timeout(limits.syncMilliseconds);
    try {
      for await (const event of kernel.execute('', {}, late)) if (event.type === 'done') return kernel;
    } catch {
      // It has ended, or its machine.
    }
    await kernel.kill();
    return null;
  }

  get hasEnded(): boolean {
    return this.#exit !== null;
  }

  /**
   * Runs a piece of code: one at a time. The signal interrupts it, and so does leaving the loop;
   * code that goes on nevertheless is killed with its kernel. Throws MachineError if the machine
   * stops.
   */
  async *execute(code: string, env: Record<string, string>, signal: AbortSignal): AsyncGenerator<KernelEvent> {
    const running = new Running();
    this.#running = running;
    const stop = () => void this.#stop(running);
    signal.addEventListener('abort', stop);
    let isOver = false;
    try {
      if (signal.aborted) stop();
      this.#send(requestOf(this.#language, { id: running.id, code, env }));
      if (this.#exit) void running.relay.put({ type: 'exit', exit: this.#exit, hadBegun: false });
      for await (const event of running.relay) {
        isOver = event.type === 'done' || event.type === 'exit';
        yield event;
        if (isOver) return;
      }
      throw new MachineError('gone', 'The machine of the sandbox stopped while it ran code');
    } finally {
      signal.removeEventListener('abort', stop);
      if (!isOver) await this.#abandon(running);
      this.#running = null;
    }
  }

  async interrupt(): Promise<void> {
    await this.#signal(signals.interrupt);
  }

  /** Ends the process and everything it has started, and waits for that. */
  async kill(): Promise<void> {
    if (this.#exit) return;
    await this.#signal(signals.kill);
    await Promise.race([this.ended, this.#agent.closed]);
  }

  async #signal(number: number): Promise<void> {
    // A process that has ended, or a machine that stopped, needs no signal.
    await signalProcess(this.#agent, this.#process, number).catch(() => {});
  }

  /** Interrupts a piece of code, and kills the kernel if that takes too long. */
  async #stop(running: Running): Promise<void> {
    const deadline = performance.now() + limits.interruptMilliseconds;
    let wasTold = false;
    while (performance.now() < deadline) {
      // A kernel that has not begun takes no notice.
      if (!wasTold) await this.interrupt();
      wasTold ||= running.hadBegun;
      if (await isWithin(running.over.promise, limits.againMilliseconds)) return;
    }
    await this.kill();
  }

  /** Takes the rest of the events of a piece of code that nobody waits for any more. */
  async #abandon(running: Running): Promise<void> {
    const stopped = this.#stop(running);
    for await (const { type } of running.relay) if (type === 'done' || type === 'exit') break;
    running.relay.close();
    await stopped;
  }

  #send(bytes: Buffer): void {
    // If it can't be sent, the process or the machine is gone, which the events tell.
    sendInput(this.#agent, this.#process, false, [bytes]).catch(() => {});
  }

  async #follow(events: AsyncIterable<ProcessEvent>): Promise<void> {
    try {
      for await (const event of events) {
        if (event.type === 'exit') await this.#end(event.exit);
        else if (event.type !== 'start') await this.#read(event.type, event.bytes);
      }
      this.#fail(new MachineError('gone', 'The machine of the sandbox stopped'));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Nothing comes from the process any more. */
  #fail(error: unknown): void {
    this.#ready.reject(error);
    this.#exit ??= { exitCode: -1, signal: 0 };
    this.#running?.relay.close();
    this.#running?.over.resolve();
  }

  async #end(exit: Exit): Promise<void> {
    this.#exit = exit;
    this.#ready.reject(new MachineError('failed', this.#lastWords || 'The program that runs code ended at once'));
    const running = this.#running;
    running?.over.resolve();
    await running?.relay.put({ type: 'exit', exit, hadBegun: running.hadBegun });
  }

  async #read(source: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    const marked = source === 'stdout' ? this.#stdout : this.#stderr;
    for (const part of marked.push(bytes)) {
      if (Buffer.isBuffer(part)) await this.#output(source, part);
      else await this.#take(part);
    }
  }

  /**
   * What is printed while no code runs comes from what earlier code has started: nobody reads it.
   */
  async #output(source: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    if (this.#running?.hadBegun) await this.#running.relay.put({ type: 'output', source, bytes });
    else if (source === 'stderr') this.#lastWords = (this.#lastWords + bytes).slice(-1000);
  }

  async #take(message: Message): Promise<void> {
    if (message.type === 'ready') this.#ready.resolve();
    await this.#running?.take(message);
  }
}

/** A piece of code that runs. */
class Running {
  readonly id = randomInt(2 ** 47);
  /** to who waits for its events */
  readonly relay = new Relay<KernelEvent>();
  /** resolves when it has ended, or its kernel */
  readonly over = Promise.withResolvers<void>();
  hadBegun = false;
  #ends = 0;
  #done: KernelEvent | null = null;

  async take(message: Message): Promise<void> {
    const { type, content } = message;
    const isOwn = content.id === this.id;
    if (type === 'began') this.hadBegun ||= isOwn;
    else if (type === 'done') {
      if (isOwn) await this.#addEnd(content);
    } else if (this.hadBegun) await this.relay.put({ type: 'message', message });
  }

  /** Both streams have to end: they come on their own ways. */
  async #addEnd({ ok, execution_count: count, exit_code: code, cpu_seconds: cpu }: Message['content']): Promise<void> {
    this.#ends += 1;
    if (ok !== undefined) {
      this.#done = {
        type: 'done',
        isOk: ok === true,
        count: Number(count),
        exitCode: typeof code === 'number' ? code : null,
        cpuSeconds: typeof cpu === 'number' ? cpu : null,
      };
    }
    if (this.#ends < 2 || this.#done === null) return;
    this.hadBegun = false;
    this.over.resolve();
    await this.relay.put(this.#done);
  }
}

/** Returns whether a promise resolves in time. */
async function isWithin(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(resolve, milliseconds, false);
  const result = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return result;
}

function tooSlow(): MachineError {
  const seconds = limits.startMilliseconds / 1000;
  return new MachineError('timeout', `The program that runs code did not start within ${seconds} s`);
}
