import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { HttpError } from '../../errors.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';

type Job = {
  /** how far the pull is, empty at its start; null: it is not under way */
  progress: string | null;
  /** why the last try failed */
  error: MachineError | null;
  tries: number;
  /** when the next try is due, on the monotonic clock */
  dueAt: number;
};

/** The pause after the first failure. It doubles with each further one. */
const firstPauseMilliseconds = 10_000;
const longestPauseMilliseconds = 300_000;

/** How often the progress of a pull is logged. */
const logMilliseconds = 30_000;

/** The most seconds after which a client is told to ask again: some clients wait that long. */
const retryAfterSeconds = 5;

type Parts = {
  driver: Pick<Driver, 'pull'>;
  log: Logger;
  /** Returns whether an image is still needed. */
  isWanted: (image: string) => Promise<boolean>;
  /** the pause after the first failure */
  pauseMilliseconds?: number | undefined;
};

/**
 * Pulls images in the background, one at a time. After a failure it tries again, until the image
 * has come or is no longer wanted.
 */
export class Pulls {
  readonly #parts: Parts;
  readonly #jobs = new Map<string, Job>();
  readonly #stopping = new AbortController();
  #wake = new AbortController();
  #working: Promise<void> | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Pulls an image, unless that is planned already. */
  add(image: string): void {
    if (this.#jobs.has(image) || this.#stopping.signal.aborted) return;
    this.#jobs.set(image, { progress: null, error: null, tries: 0, dueAt: 0 });
    this.#wake.abort();
    this.#working ??= this.#work().finally(() => {
      this.#working = null;
    });
  }

  /** Forgets an image that has come by other means, unless its pull is under way. */
  forget(image: string): void {
    if (this.#jobs.get(image)?.progress === null) this.#jobs.delete(image);
  }

  /**
   * Returns the answer to a create that needs the image: 503 with the progress, or 404 when no
   * registry has it.
   */
  refusal(image: string): HttpError {
    const { progress = null, error = null, dueAt = 0 } = this.#jobs.get(image) ?? {};
    const seconds = Math.max(1, Math.ceil((dueAt - performance.now()) / 1000));
    const headers = { 'Retry-After': String(Math.min(retryAfterSeconds, seconds)) };
    if (progress === null && error?.code === 'no_image') return new HttpError(404, failure(image, error));
    if (progress === null && error) {
      return new HttpError(503, `${failure(image, error)}. The next try is in ${seconds} s`, headers);
    }
    const words = progress ? `: ${progress}` : '';
    const text =
      progress === null ? `The image ${image} waits to be pulled` : `The image ${image} is being pulled${words}`;
    return new HttpError(503, text, { 'Retry-After': String(retryAfterSeconds) });
  }

  /** Returns why the last try to pull an image failed; null if none has, or one is under way. */
  failureOf(image: string): string | null {
    const { progress = null, error = null } = this.#jobs.get(image) ?? {};
    return error && progress === null ? failure(image, error) : null;
  }

  /** Returns the images that are being pulled or will be. */
  planned(): string[] {
    return [...this.#jobs.keys()];
  }

  /** Gives up the pull that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (let next = this.#next(); next && !this.#stopping.signal.aborted; next = this.#next()) {
      const [image, job] = next;
      const pause = job.dueAt - performance.now();
      if (pause > 0) await this.#waitFor(pause);
      else if (job.tries === 0 || (await this.#parts.isWanted(image).catch(() => true))) await this.#pull(image, job);
      else this.#jobs.delete(image);
    }
  }

  #next(): [string, Job] | undefined {
    return [...this.#jobs].sort(([, a], [, b]) => a.dueAt - b.dueAt)[0];
  }

  /** Waits, but not longer than until the next call of `add`. */
  async #waitFor(milliseconds: number): Promise<void> {
    this.#wake = new AbortController();
    const signal = AbortSignal.any([this.#wake.signal, this.#stopping.signal]);
    await delay(milliseconds, undefined, { ref: false, signal }).catch(() => {});
  }

  async #pull(image: string, job: Job): Promise<void> {
    const { log } = this.#parts;
    const start = performance.now();
    log.info({ image }, 'pulling an image');
    try {
      await this.#pullOnce(image, job);
      this.#jobs.delete(image);
      log.info({ image, seconds: Math.round((performance.now() - start) / 1000) }, 'pulled an image');
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#fail(image, job, error);
    }
  }

  async #pullOnce(image: string, job: Job): Promise<void> {
    let loggedAt = performance.now();
    job.progress = '';
    const onProgress = (words: string) => {
      job.progress = words;
      if (performance.now() - loggedAt < logMilliseconds) return;
      loggedAt = performance.now();
      this.#parts.log.info({ image, progress: words }, 'pulling an image');
    };
    try {
      await this.#parts.driver.pull(image, onProgress, this.#stopping.signal);
    } finally {
      job.progress = null;
    }
  }

  #fail(image: string, job: Job, error: unknown): void {
    const { log, pauseMilliseconds = firstPauseMilliseconds } = this.#parts;
    const pause = Math.min(pauseMilliseconds * 2 ** job.tries, longestPauseMilliseconds);
    job.error = error instanceof MachineError ? error : new MachineError('failed', 'an internal error, see the log');
    job.tries++;
    job.dueAt = performance.now() + pause;
    const err = error instanceof MachineError ? undefined : error;
    log.warn({ image, reason: job.error.message, retrySeconds: pause / 1000, err }, 'an image could not be pulled');
  }
}

function failure(image: string, { message }: MachineError): string {
  return `The image ${image} could not be pulled: ${message.replace(/\.$/, '')}`;
}
