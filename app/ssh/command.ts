import { randomUUID } from 'node:crypto';
import type { ServerChannel } from 'ssh2';
import type { Agent } from '../machines/agent/agent.ts';
import {
  closeInput,
  type Exit,
  signals as numbers,
  type ProcessSpec,
  resizeTerminal,
  sendInput,
  signalProcess,
  startProcess,
  type TerminalSize,
} from '../machines/agent/processes.ts';
import { MachineError } from '../machines/error.ts';
import { type Outlet, write } from './write.ts';

/** The signals that SSH names (RFC 4254, section 6.10), by their numbers on Linux. */
const signals: Record<string, number> = {
  HUP: 1,
  INT: numbers.interrupt,
  QUIT: 3,
  ILL: 4,
  ABRT: 6,
  FPE: 8,
  KILL: numbers.kill,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: numbers.terminate,
};
/** What OpenSSH's client ends with when something else than the command has failed. */
const failed = 255;
const endOfTransmission = Buffer.from([4]);

/** What runs, and in which machine. */
export type CommandSpec = Pick<ProcessSpec, 'user' | 'cwd' | 'args' | 'env' | 'terminal'> & { agent: Agent };

/** A command whose streams are those of a channel. */
export class Command {
  readonly #outlet: Outlet;
  readonly #channel: ServerChannel;
  readonly #ended: AbortSignal;
  readonly #process = { tag: `sandpit-ssh:${randomUUID()}` };
  #agent: Agent | null = null;
  #size: TerminalSize | null = null;

  /** The outlet's signal aborts when the client has left. */
  constructor(outlet: Outlet) {
    this.#outlet = outlet;
    this.#channel = outlet.channel;
    this.#ended = outlet.ended;
  }

  /** Runs it to its end, and tells the client how it ended, or why it could not run. */
  async run(machine: Promise<CommandSpec>): Promise<void> {
    try {
      await this.#run(await machine);
    } catch (error) {
      if (this.#ended.aborted) return;
      await write(
        this.#outlet,
        this.#channel.stderr,
        Buffer.from(`${error instanceof Error ? error.message : error}\r\n`),
      );
      this.#end({ exitCode: failed, signal: 0 });
    }
  }

  resize(size: TerminalSize): void {
    this.#size = size;
    // One that has ended, or that does not run yet, has no size.
    if (this.#agent) resizeTerminal(this.#agent, this.#process, size).catch(() => {});
  }

  /** Sends a signal by its name in SSH. Unknown ones are ignored. */
  signal(name: string): void {
    const number = signals[name];
    if (this.#agent && number !== undefined) signalProcess(this.#agent, this.#process, number).catch(() => {});
  }

  async #run({ agent, ...spec }: CommandSpec): Promise<void> {
    const events = startProcess(agent, { ...spec, ...this.#process, hasStdin: true, timeoutMilliseconds: 0 });
    let exit: Exit | null = null;
    try {
      for await (const event of events) {
        if (event.type === 'start') this.#begin(agent, spec.terminal !== null);
        else if (event.type === 'exit') exit = event.exit;
        else await write(this.#outlet, event.type === 'stdout' ? this.#channel : this.#channel.stderr, event.bytes);
      }
      if (!exit) throw new MachineError('gone', 'The machine of the sandbox has stopped');
      this.#end(exit);
    } finally {
      if (!exit) await signalProcess(agent, this.#process, signals.HUP as number).catch(() => {});
    }
  }

  #begin(agent: Agent, isTerminal: boolean): void {
    this.#agent = agent;
    if (this.#size) this.resize(this.#size);
    const hangUp = () => this.signal('HUP');
    if (this.#ended.aborted) hangUp();
    this.#ended.addEventListener('abort', hangUp);
    // A command that takes no more input is no reason to end it.
    this.#passInput(agent, isTerminal).catch(() => {});
  }

  async #passInput(agent: Agent, isTerminal: boolean): Promise<void> {
    // The command may end before its input, and its output goes on then.
    const input = this.#channel.iterator({ destroyOnReturn: false });
    await sendInput(agent, this.#process, isTerminal, input, this.#ended);
    if (isTerminal) await sendInput(agent, this.#process, true, [endOfTransmission], this.#ended);
    else await closeInput(agent, this.#process, this.#ended);
  }

  #end({ exitCode, signal }: Exit): void {
    const name = Object.keys(signals).find((each) => signals[each] === signal);
    if (name === undefined) this.#channel.exit(signal === 0 ? exitCode : 128 + signal);
    else this.#channel.exit(name);
    this.#channel.end();
  }
}
