import { randomBytes } from 'node:crypto';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { untilAborted } from '../until-aborted.ts';
import { Kernel, type KernelEvent, type KernelSpec } from './kernel.ts';
import { type Language, programOf } from './languages.ts';
import { type KernelTag, tagOf } from './tags.ts';

/** Where kernels run. */
export type Place = Pick<KernelSpec, 'user' | 'cwd' | 'env'>;

/** What happens while code runs. The last is `done`, or `died` if the kernel ended. */
export type CodeEvent =
  | Exclude<KernelEvent, { type: 'exit' }>
  | { type: 'died'; reason: string; exitCode: number | null };

/** How many pieces of code one context takes: one runs, the others wait. */
const maxPieces = 32;

/**
 * A language with the variables that code leaves in it. It runs one piece of code at a time, and
 * gets a new kernel when its kernel dies.
 */
export class CodeContext {
  readonly id: string;
  readonly language: Language;
  /** whether code that names no context runs here */
  readonly isDefault: boolean;
  readonly place: Place;
  readonly #agent: Agent;
  #kernel: Kernel | null;
  #starting: Promise<Kernel> | null = null;
  #isClosed = false;
  #pieces = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(agent: Agent, given: Omit<KernelTag, 'mark'>, place: Place, kernel: Kernel | null = null) {
    this.#agent = agent;
    this.id = given.id;
    this.language = given.language;
    this.isDefault = given.isDefault;
    this.place = place;
    this.#kernel = kernel;
  }

  /**
   * Returns its kernel, started if need be. Throws HttpError 501 if the image does not have the
   * language, HttpError 404 once the context is closed, AgentError and MachineError.
   */
  async start(): Promise<Kernel> {
    if (this.#isClosed) throw new HttpError(404, `The context ${this.id} was removed`);
    if (this.#kernel && !this.#kernel.hasEnded) return this.#kernel;
    this.#starting ??= this.#startNew().finally(() => {
      this.#starting = null;
    });
    return this.#starting;
  }

  /**
   * Runs code once it is its turn. The signal interrupts it, and so does leaving the loop. Throws
   * HttpError 400 for what can't be run, HttpError 429 if too much code waits, the reason of the
   * signal if it is aborted before the code's turn, and what `start` throws.
   */
  async *execute(code: string, env: Record<string, string>, signal: AbortSignal): AsyncGenerator<CodeEvent> {
    requireRunnable(this.language, code, env);
    const release = await this.#turn(signal);
    try {
      // A second time, because the kernel may end, by `exit()`, before it gets the code.
      for (let attempt = 1; ; attempt++) {
        let isLost = false;
        for await (const event of (await this.start()).execute(code, env, signal)) {
          isLost = event.type === 'exit' && !event.hadBegun && attempt === 1 && !signal.aborted;
          if (!isLost) yield codeEvent(event, this.language);
        }
        if (!isLost) return;
      }
    } finally {
      release();
      this.#replaceEnded();
    }
  }

  /** Ends what runs and drops all variables. Throws what `start` throws. */
  async restart(): Promise<void> {
    await (await this.start()).kill();
    await this.start();
  }

  /** Ends the kernel and what runs in it, for good. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#starting?.catch(() => {});
    await this.#kernel?.kill();
  }

  async #startNew(): Promise<Kernel> {
    const { id, language, isDefault, place } = this;
    const mark = randomBytes(16).toString('hex');
    const tag = tagOf({ id, language, isDefault, mark });
    this.#kernel = await Kernel.start(this.#agent, { ...place, language, mark, tag }).catch((error) => {
      throw error instanceof AgentError ? explained(error, language) : error;
    });
    return this.#kernel;
  }

  /** Starts a new kernel in place of one that died: the context must outlive the connection. */
  #replaceEnded(): void {
    if (this.#kernel?.hasEnded && !this.#isClosed) this.start().catch(() => {});
  }

  /** Returns a function to call at the end of a turn. */
  async #turn(signal: AbortSignal): Promise<() => void> {
    if (this.#pieces >= maxPieces) {
      throw new HttpError(429, `The context ${this.id} has ${maxPieces} pieces of code to run: wait for some`);
    }
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = before.then(() => promise);
    this.#pieces += 1;
    const release = () => {
      this.#pieces -= 1;
      resolve();
    };
    await untilAborted(before, signal).catch((error) => {
      release();
      throw error;
    });
    return release;
  }
}

/** Throws HttpError 400 for a NUL where the system has none, and for names that no variable has. */
function requireRunnable(language: Language, code: string, env: Record<string, string>): void {
  if (language === 'bash' && code.includes('\0')) throw new HttpError(400, 'A script of bash can not have a NUL');
  const wrong = Object.keys(env).find((name) => !/^[^=\0]+$/.test(name) || env[name]?.includes('\0'));
  if (wrong !== undefined) throw new HttpError(400, `'${wrong}' can't be an environment variable with this value`);
}

function codeEvent(event: KernelEvent, language: Language): CodeEvent {
  if (event.type !== 'exit') return event;
  const { exitCode, signal } = event.exit;
  const how = signal === 0 ? `with exit code ${exitCode}` : `by signal ${signal}`;
  const reason = `The ${language} process of this context ended ${how}. It is started anew: its variables are gone`;
  return { type: 'died', reason, exitCode: signal === 0 ? exitCode : null };
}

/** Says what to do about a program that the image does not have. */
function explained(error: AgentError, language: Language): Error {
  const program = programOf(language);
  if (!/no such file|not found/i.test(error.message)) return error;
  const advice =
    'Start the sandbox from an image that has it, e.g. the one of sandpit templates build code-interpreter';
  return new HttpError(501, `The image of this sandbox has no ${program}, so it does not run ${language}. ${advice}`);
}
