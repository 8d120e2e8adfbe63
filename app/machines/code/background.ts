import type { Logger } from 'pino';
import {
  beginExecution,
  type ExecutionEnd,
  endExecution,
  endInterrupted,
  interrupted,
} from '../../../db/machines/executions.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Agent } from '../agent/agent.ts';
import type { Place } from './context.ts';
import { LimitedText } from './limited-text.ts';
import { type Order, runCode } from './run.ts';

/** How much of each stream is kept, in UTF-16 units. */
const maxText = 512 * 1024;

type Parts = { store: Store; now: () => number; log: Logger };
type Machine = { id: string; agent: Agent; place: Place };

/** Runs code while nobody waits, and records how it ends. */
export class Background {
  readonly #parts: Parts;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  /** Resolves once the executions that a server before this one has left are recorded as ended. */
  readonly #ready: Promise<void>;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { store, now, log } = parts;
    this.#ready = inTransaction(store.db, (trx) => endInterrupted(trx, now())).catch((error) =>
      log.error({ err: error }, 'interrupted executions could not be recorded'),
    );
  }

  /** Begins to run code, and returns the execution's id. Throws what `beginExecution` throws. */
  async start(machine: Machine, order: Order): Promise<string> {
    const { store, now } = this.#parts;
    await this.#ready;
    const id = await inTransaction(store.db, (trx) => beginExecution(trx, now(), machine.id));
    const work = this.#run(id, machine, order).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
    return id;
  }

  /** Interrupts what runs, and records that. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#underWay);
  }

  async #run(id: string, machine: Machine, order: Order): Promise<void> {
    const { store, now, log } = this.#parts;
    const end = await this.#endOf(machine, order);
    await inTransaction(store.db, (trx) => endExecution(trx, now(), id, end)).catch((error) =>
      log.error({ execution: id, err: error }, 'the end of an execution could not be recorded'),
    );
  }

  async #endOf({ agent, place }: Machine, order: Order): Promise<ExecutionEnd> {
    const began = performance.now();
    const texts = { stdout: new LimitedText(maxText), stderr: new LimitedText(maxText) };
    const ending = await runCode(
      agent,
      place,
      order,
      (source, text) => texts[source].add(text),
      this.#stopping.signal,
    ).catch((error) => {
      texts.stderr.add(
        this.#stopping.signal.aborted ? interrupted : `${error instanceof Error ? error.message : error}\n`,
      );
      return { exitCode: -1, cpuSeconds: null };
    });
    const runSeconds = (performance.now() - began) / 1000;
    return { ...ending, stdout: String(texts.stdout), stderr: String(texts.stderr), runSeconds };
  }
}
