import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { MachineError } from '../error.ts';
import type { EgressRules } from '../network/rules.ts';
import { machineIds } from '../process/folder.ts';

const idPattern = /^[\w-]{1,64}$/;
/** The longest path of a Unix socket on all systems (unix(7); macOS has 4 bytes less). */
const maxSocketPath = 103;

/** What is known of a machine beside what msb knows. */
export type Place = { folder: string; socket: string; mark: string; facts: string };

/** `network`: the rules that msb was given; older versions of Sandpit did not note them. */
export type Facts = { allowsSudo: boolean; network?: EgressRules };

/**
 * - `pausing`: msb was asked to pause the machine, or to resume it, and has not answered.
 * - `paused`: it is paused. msb's own list does not tell.
 */
export type Mark = 'pausing' | 'paused' | null;

/** The folder of a Sandpit's microVMs, beside its database, and what their names are for msb. */
export class Places {
  readonly directory: string;
  readonly #instance: string;
  readonly #prefix: string;

  constructor(instance: string, db: string) {
    const parent = db === ':memory:' ? tmpdir() : dirname(resolve(db));
    this.directory = join(parent, `microvms-${instance}`);
    this.#instance = instance;
    this.#prefix = `sandpit-${instance}-`;
  }

  /**
   * Returns the group of a snapshot, which has no other: within a group each is the child of the
   * one before, and only the last can be removed.
   */
  group(name: string): string {
    return `sandpit-snapshot-${this.#instance}-${name}`;
  }

  /**
   * Where msb keeps its state: here, so that an msb of another version, with a state of its user's,
   * is none of our business; or where its user says.
   */
  home(env: NodeJS.ProcessEnv): string {
    return env.MSB_HOME || join(this.directory, 'msb');
  }

  /** Returns the name of a machine, which is all that msb's commands take. */
  name(id: string): string {
    return `${this.#prefix}${id}`;
  }

  /** Returns the id of a machine of this Sandpit by its name, or null. */
  idOf(name: string): string | null {
    const id = name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : '';
    return idPattern.test(id) ? id : null;
  }

  /** Throws MachineError for an id that can't be in a path. */
  of(id: string): Place {
    if (!idPattern.test(id) || id === 'msb') throw new MachineError('failed', `'${id}' can't be the id of a machine.`);
    const folder = join(this.directory, id);
    const socket = join(folder, 's');
    if (Buffer.byteLength(socket) > maxSocketPath)
      throw new MachineError('failed', `${this.directory} is too long a path for the sockets of machines.`);
    return { folder, socket, mark: join(folder, 'mark'), facts: join(folder, 'facts.json') };
  }

  exists(id: string): boolean {
    return existsSync(this.of(id).folder);
  }

  /** Makes a machine's folder. */
  make(id: string, facts: Facts): void {
    const place = this.of(id);
    rmSync(place.folder, { recursive: true, force: true });
    mkdirSync(place.folder, { recursive: true, mode: 0o700 });
    writeFileSync(place.facts, JSON.stringify(facts));
  }

  forget(id: string): void {
    rmSync(this.of(id).folder, { recursive: true, force: true });
  }

  mark(id: string): Mark {
    return read(this.of(id).mark) as Mark;
  }

  setMark(id: string, mark: Mark): void {
    const { mark: file } = this.of(id);
    if (mark === null) rmSync(file, { force: true });
    else writeFileSync(file, mark);
  }

  /** Returns the facts that were noted when a machine was made, or null. */
  facts(id: string): Facts | null {
    const text = read(this.of(id).facts);
    return text === null ? null : (JSON.parse(text) as Facts);
  }

  /** Returns the ids of the machines that have a folder. */
  ids(): string[] {
    return machineIds(this.directory).filter((id) => id !== 'msb');
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
