import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { findMachine } from '../../db/machines/read.ts';
import type { Store } from '../../db/store.ts';
import { type Agent, connectAgent } from './agent/agent.ts';
import type { Driver } from './driver.ts';
import { MachineError } from './error.ts';
import { enforce, isByAgent } from './network/enforce.ts';
import type { EgressRules } from './network/rules.ts';
import { egressOf } from './network/settings.ts';

/** How long a connection to an agent may take to open. */
const connectMilliseconds = 10_000;

type Dependencies = { store: Store; now: () => number; log: Logger; driver: Driver };
type Open = { agent: Promise<Agent>; giveUp: AbortController };

/** The connections to machines' agents: one for each machine, which all its requests share. */
export class Connections {
  readonly #dependencies: Dependencies;
  readonly #open = new Map<string, Open>();
  /** The rules that machines are being given, before the records have them. */
  readonly #coming = new Map<string, EgressRules>();

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  /** Returns the agent of a running sandbox's machine. Throws MachineError. */
  async agentOf(id: string): Promise<Agent> {
    const open = this.#open.get(id);
    // It is closed when the sandbox ends or is paused.
    if (open) return open.agent;
    const { store, now } = this.#dependencies;
    const sandbox = await findMachine(store.db, now(), id);
    if (sandbox?.status !== 'active') throw new MachineError('gone', 'The sandbox does not run');
    return this.connect(id, AbortSignal.timeout(connectMilliseconds));
  }

  /**
   * Returns the agent of a machine, once it enforces the machine's rules. A machine whose sandbox
   * does not exist yet needs `rules`; others have those of the record. The signal of the first
   * caller bounds an attempt that several share. Throws MachineError.
   */
  connect(id: string, signal: AbortSignal, rules?: EgressRules): Promise<Agent> {
    const found = this.#open.get(id);
    if (found) return found.agent;
    const giveUp = new AbortController();
    const agent = this.#connect(id, AbortSignal.any([signal, giveUp.signal]), rules);
    const entry = { agent, giveUp };
    this.#open.set(id, entry);
    const forget = () => {
      if (this.#open.get(id) === entry) this.#open.delete(id);
    };
    agent.then(({ closed }) => void closed.then(forget), forget);
    return agent;
  }

  /** Cuts the connection to a machine, with all its streams. */
  close(id: string): void {
    const entry = this.#open.get(id);
    if (!entry) return;
    this.#open.delete(id);
    entry.giveUp.abort();
    entry.agent.then(
      (agent) => agent.close(),
      () => {},
    );
  }

  /** Gives connections that open during some work these rules instead of the record's. */
  async during<T>(id: string, rules: EgressRules, work: () => Promise<T>): Promise<T> {
    this.#coming.set(id, rules);
    try {
      return await work();
    } finally {
      this.#coming.delete(id);
    }
  }

  closeAll(): void {
    for (const id of [...this.#open.keys()]) this.close(id);
  }

  async #connect(id: string, signal: AbortSignal, rules?: EgressRules): Promise<Agent> {
    let channel: Duplex | undefined;
    const cut = () => void channel?.destroy();
    signal.addEventListener('abort', cut);
    try {
      channel = await this.#dependencies.driver.channel(id, signal);
      signal.throwIfAborted();
      const agent = await connectAgent(channel);
      signal.throwIfAborted();
      if (isByAgent(this.#dependencies.driver)) await this.#enforce(id, agent, rules, signal);
      signal.throwIfAborted();
      return agent;
    } catch (error) {
      channel?.destroy();
      throw signal.aborted ? givenUp(signal) : error;
    } finally {
      signal.removeEventListener('abort', cut);
    }
  }

  async #enforce(id: string, agent: Agent, given: EgressRules | undefined, signal: AbortSignal): Promise<void> {
    const { store, now, log } = this.#dependencies;
    const wanted = given ?? this.#coming.get(id);
    if (wanted) return enforce(agent, wanted, signal);
    const sandbox = await findMachine(store.db, now(), id);
    await enforce(agent, egressOf(JSON.parse(sandbox?.settings ?? '{}')), signal).catch((error) => {
      if (!(error instanceof MachineError) || error.code !== 'unsupported') throw error;
      // Otherwise it would not have started: an earlier version made it, or this one without rules.
      log.warn({ sandbox: id }, 'a machine that was started without network rules has none');
    });
  }
}

function givenUp({ reason }: AbortSignal): MachineError {
  if (reason instanceof DOMException && reason.name === 'TimeoutError') {
    return new MachineError('timeout', 'The machine of the sandbox did not answer in time');
  }
  return new MachineError('gone', 'The sandbox does not run');
}
