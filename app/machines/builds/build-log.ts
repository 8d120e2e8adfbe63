import { StringDecoder } from 'node:string_decoder';
import { setTimeout as delay } from 'node:timers/promises';
import { type LogEntry, maxEntries, maxLogBytes, maxMessageLength } from '../../../db/builds/log.ts';
import type { LogLevel } from '../../../db/builds/tables.ts';
import type { Receive } from '../setup/command.ts';

/** How long entries wait, so that many are written at once. */
const flushMilliseconds = 100;
/** How many are written at once. */
const batchSize = 200;
/** How many may wait before a command that prints more waits, too. */
const maxWaiting = 1_000;

/** What commands of one build may print per second: more keeps the server from other work. */
const bytesPerSecond = 8 * 2 ** 20;
const paceBytes = 2 ** 20;

/** Takes the output of a command, then its end. */
export type Printing = { receive: Receive; end: () => void };

/** Stores entries. Rejects if that fails. */
type Write = (entries: LogEntry[]) => Promise<void>;

/** What a build says, written in batches. */
export class BuildLog {
  readonly #write: Write;
  readonly #now: () => number;
  #waiting: LogEntry[] = [];
  #writing: Promise<void> | undefined;
  #entries = 0;
  #bytes = 0;
  readonly #pace = { begin: performance.now(), bytes: 0 };

  constructor(write: Write, now: () => number) {
    this.#write = write;
    this.#now = now;
  }

  /** Whether the log takes no more: the store says so in its last entry. */
  get isFull(): boolean {
    return this.#entries > maxEntries || this.#bytes > maxLogBytes;
  }

  /** Adds an entry. `step` is as in `BuildError`. */
  add(level: LogLevel, step: string | null, message: string): void {
    if (this.isFull) return;
    this.#entries += 1;
    this.#bytes += message.length;
    this.#waiting.push({ at: this.#now(), level, step, message });
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Waits until everything is stored. Rejects if that failed. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /** Returns functions that add the output of a command line by line, after a prefix. */
  output(step: string, prefix: string): Printing {
    const sources = {
      stdout: new Lines((line) => this.add('info', step, `${prefix}${line}`)),
      stderr: new Lines((line) => this.add('warn', step, `${prefix}${line}`)),
    };
    return {
      receive: async (source, bytes) => {
        if (!this.isFull) sources[source].add(bytes);
        if (this.#waiting.length > maxWaiting) await this.flush();
        await this.#slowDown(bytes.length);
      },
      end: () => {
        for (const lines of Object.values(sources)) lines.end();
      },
    };
  }

  async #run(): Promise<void> {
    await delay(flushMilliseconds);
    while (this.#waiting.length > 0) await this.#write(this.#waiting.splice(0, batchSize));
  }

  /** Waits when commands print more than they may: the command waits, too. */
  async #slowDown(bytes: number): Promise<void> {
    const pace = this.#pace;
    pace.bytes += bytes;
    if (pace.bytes < paceBytes) return;
    const least = (pace.bytes / bytesPerSecond) * 1000;
    const early = least - (performance.now() - pace.begin);
    if (early > 0) await delay(early);
    pace.begin = performance.now();
    pace.bytes = 0;
  }
}

/** Cuts output into lines. Of a line that a program wrote over, the last version counts. */
class Lines {
  readonly #take: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(take: (line: string) => void) {
    this.#take = take;
  }

  add(bytes: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(bytes)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#give(line);
    if (this.#rest.length < maxMessageLength) return;
    this.#give(this.#rest);
    this.#rest = '';
  }

  /** Gives what has no end of line. */
  end(): void {
    this.#give(this.#rest + this.#decoder.end());
    this.#rest = '';
  }

  #give(line: string): void {
    const text = line.trimEnd();
    const last = text.slice(text.lastIndexOf('\r') + 1);
    if (last !== '') this.#take(last);
  }
}
