import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type RunningMachine, runningMachines } from '../../../db/machines/running.ts';
import type { Store } from '../../../db/store.ts';
import type { Agent } from '../agent/agent.ts';
import { diskUsage } from '../agent/files.ts';
import type { Driver, Usage } from '../driver.ts';
import { History, type Reading } from './history.ts';

/** What running machines use, read now and then. Nothing is kept of a machine that has ended. */
export type Usages = {
  latest: (id: string) => Reading | null;
  /** Returns the readings from one time to another, both included, oldest first. */
  between: (id: string, from: number, to: number) => Reading[];
  /** Stops reading. */
  stop: () => Promise<void>;
};

type Parts = {
  driver: Pick<Driver, 'usage'>;
  agentOf: (id: string) => Promise<Agent>;
  store: Pick<Store, 'db'>;
  log: Logger;
  now: () => number;
  /** how often each machine is read */
  intervalMilliseconds?: number;
  /** how long a reading may take before the next machine gets its turn */
  patienceMilliseconds?: number;
};

/** How many machines are read at the same time. */
const maxConcurrent = 4;

/** The machine's processor time at its last reading, and when that was on the monotonic clock. */
type Mark = { cpuSeconds: number; at: number };

/** Starts to read all running machines, one after another, evenly over the interval. */
export function startSampler({ intervalMilliseconds = 5_000, patienceMilliseconds = 5_000, ...parts }: Parts): Usages {
  const sampler = new Sampler({ ...parts, patienceMilliseconds });
  const stopping = new AbortController();
  const running = sampler.run(intervalMilliseconds, stopping.signal);
  return {
    latest: (id) => sampler.histories.get(id)?.newest() ?? null,
    between: (id, from, to) => sampler.histories.get(id)?.between(from, to) ?? [],
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

type SamplerParts = Required<Omit<Parts, 'intervalMilliseconds'>>;

class Sampler {
  readonly histories = new Map<string, History>();
  readonly #parts: SamplerParts;
  readonly #marks = new Map<string, Mark>();
  readonly #underWay = new Set<string>();
  #slotsTaken = 0;

  constructor(parts: SamplerParts) {
    this.#parts = parts;
  }

  async run(interval: number, stopping: AbortSignal): Promise<void> {
    const pause = (milliseconds: number) =>
      delay(milliseconds, undefined, { ref: false, signal: stopping }).catch(() => {});
    while (!stopping.aborted) {
      const machines = await this.#machines();
      if (machines.length === 0) await pause(interval);
      for (const machine of machines) {
        if (stopping.aborted) break;
        this.#start(machine);
        await pause(interval / machines.length);
      }
    }
  }

  async #machines(): Promise<RunningMachine[]> {
    const { store, log, now } = this.#parts;
    try {
      const machines = await runningMachines(store.db, now());
      this.#forgetAllBut(new Set(machines.map(({ id }) => id)));
      return machines;
    } catch (error) {
      log.warn({ err: error }, 'the use of machines could not be read');
      return [];
    }
  }

  #forgetAllBut(ids: Set<string>): void {
    for (const kept of [this.histories, this.#marks]) {
      for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id);
    }
  }

  /** Reads a machine, unless its last reading or too many others are under way. */
  #start(machine: RunningMachine): void {
    const { id } = machine;
    if (this.#slotsTaken >= maxConcurrent || this.#underWay.has(id)) return;
    this.#slotsTaken++;
    this.#underWay.add(id);
    const done = this.#read(machine)
      .catch((error) => this.#parts.log.debug({ err: error, sandbox: id }, 'a machine could not be read'))
      .finally(() => void this.#underWay.delete(id));
    // One that hangs gives its slot up, and is not read again until it has answered.
    void firstOf(done, this.#parts.patienceMilliseconds).finally(() => void this.#slotsTaken--);
  }

  async #read(machine: RunningMachine): Promise<void> {
    const { driver, agentOf, now, patienceMilliseconds } = this.#parts;
    const { id } = machine;
    const signal = AbortSignal.timeout(patienceMilliseconds);
    const disk = agentOf(id).then((agent) => diskUsage(agent, signal));
    const both = [driver.usage(id), disk] as const;
    // The machine stays under way until both have answered, also when one fails before.
    await Promise.allSettled(both);
    const [usage, { usedBytes, totalBytes }] = await Promise.all(both);
    const reading = {
      at: now(),
      cpuPercent: this.#cpuPercent(machine, usage),
      memoryBytes: usage.memoryBytes,
      cacheBytes: usage.cacheBytes,
      diskUsedBytes: usedBytes,
      diskTotalBytes: totalBytes,
    };
    const history = this.histories.get(id) ?? new History();
    this.histories.set(id, history);
    history.add(reading);
  }

  /** The first reading is the mean since the machine's start. */
  #cpuPercent({ id, vcpuCount, createdAt }: RunningMachine, { cpuSeconds }: Usage): number {
    const at = performance.now();
    const age = this.#parts.now() - createdAt;
    const last = this.#marks.get(id) ?? { cpuSeconds: 0, at: at - age };
    this.#marks.set(id, { cpuSeconds, at });
    const share = ((cpuSeconds - last.cpuSeconds) * 1000) / (at - last.at) / vcpuCount;
    return Number.isFinite(share) ? Math.round(Math.min(Math.max(share, 0), 1) * 10_000) / 100 : 0;
  }
}

/** Resolves when the work is done or the time is over. */
async function firstOf(work: Promise<void>, milliseconds: number): Promise<void> {
  const timer = new AbortController();
  const timeUp = delay(milliseconds, undefined, { ref: false, signal: timer.signal }).catch(() => {});
  await Promise.race([work, timeUp]);
  timer.abort();
}
