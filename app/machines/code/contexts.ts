import { randomUUID } from 'node:crypto';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../agent/agent.ts';
import { listProcesses, type RunningProcess, signalProcess, signals } from '../agent/processes.ts';
import { CodeContext, type Place } from './context.ts';
import { Kernel } from './kernel.ts';
import { type Language, languageOf, languages } from './languages.ts';
import { scriptTag } from './shell.ts';
import { kernelOf } from './tags.ts';

/** How many contexts a machine has beside the default ones: each is a process with its memory. */
const maxContexts = 32;

/** The contexts of one machine, as long as the connection to its agent lasts. */
export class CodeContexts {
  readonly #agent: Agent;
  readonly #all = new Map<string, CodeContext>();

  private constructor(agent: Agent) {
    this.#agent = agent;
  }

  /**
   * Returns a machine's contexts, with those that an earlier connection has started. Its scripts
   * are killed: nobody waits for them any more.
   */
  static async open(agent: Agent): Promise<CodeContexts> {
    const contexts = new CodeContexts(agent);
    const found = await listProcesses(agent);
    const scripts = found.filter(({ tag }) => tag.startsWith(scriptTag));
    await Promise.all(scripts.map(({ tag }) => signalProcess(agent, { tag }, signals.kill).catch(() => {})));
    await Promise.all(found.map((process) => contexts.#adopt(process)));
    return contexts;
  }

  /** Returns all contexts, in the order in which they were made. */
  list(): CodeContext[] {
    return [...this.#all.values()];
  }

  /** Returns the context of this id. Throws HttpError 404. */
  get(id: string): CodeContext {
    const found = this.#all.get(id);
    if (!found) throw new HttpError(404, `Context ${id} not found`);
    return found;
  }

  /** Returns the context for code that names none. It is made when it is first asked for. */
  defaultOf(language: Language, place: Place): CodeContext {
    const found = this.list().find((each) => each.isDefault && each.language === language);
    return found ?? this.#add(language, place, true);
  }

  /**
   * Makes a context and returns it once it takes code. Throws HttpError 429 if there are too many,
   * and what `CodeContext.start` throws.
   */
  async create(language: Language, place: Place): Promise<CodeContext> {
    const made = this.#add(language, place, false);
    try {
      await made.start();
    } catch (error) {
      this.#all.delete(made.id);
      throw error;
    }
    return made;
  }

  /** Ends a context and what runs in it. Throws HttpError 404. */
  async remove(id: string): Promise<void> {
    const context = this.get(id);
    this.#all.delete(id);
    await context.close();
  }

  #add(language: Language, place: Place, isDefault: boolean): CodeContext {
    if (this.#all.size >= maxContexts + languages.length) {
      throw new HttpError(429, `The sandbox has ${maxContexts} contexts already: remove one first`);
    }
    const made = new CodeContext(this.#agent, { id: randomUUID(), language, isDefault }, place);
    this.#all.set(made.id, made);
    return made;
  }

  /** Takes over the kernel of an earlier connection. One that does not obey is killed. */
  async #adopt({ tag, cwd, env }: RunningProcess): Promise<void> {
    const found = kernelOf(tag);
    if (!found) return;
    const place = { user: '', cwd, env };
    const kernel = await Kernel.attach(this.#agent, { ...place, ...found, tag });
    if (kernel) this.#all.set(found.id, new CodeContext(this.#agent, found, place, kernel));
  }
}

const opened = new WeakMap<Agent, Promise<CodeContexts>>();

/**
 * Returns the contexts of the machine that this agent is in. Throws AgentError and MachineError.
 */
export function codeContextsOf(agent: Agent): Promise<CodeContexts> {
  const found = opened.get(agent);
  if (found) return found;
  const opening = CodeContexts.open(agent);
  opened.set(agent, opening);
  opening.catch(() => opened.delete(agent));
  return opening;
}

/** Returns the language of this name. Throws HttpError 400 for an unknown one. */
export function requireLanguage(name: string): Language {
  const found = languageOf(name);
  if (!found) throw new HttpError(400, `Unknown language '${name}': use one of ${languages.join(', ')}`);
  return found;
}
