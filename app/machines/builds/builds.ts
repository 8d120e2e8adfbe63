import type { Logger } from 'pino';
import { findOrder } from '../../../db/builds/builds.ts';
import { failBuild, failInterrupted } from '../../../db/builds/finish.ts';
import { appendLog } from '../../../db/builds/log.ts';
import type { Actor } from '../../../db/events/record.ts';
import { inTransaction } from '../../../db/store.ts';
import { Starts } from '../launch/starts.ts';
import { BuildLog } from './build-log.ts';
import { BuildError, LostLayer } from './failure.ts';
import { BuildRun, type Limits, type RunParts } from './run.ts';

/** How many builds run at the same time, also of one owner. The others wait; owners take turns. */
const maxBuilding = 4;
const maxBuildingOfOwner = 2;

/** How long a build may take once its turn has come. */
const buildMilliseconds = 7_200_000;

const limits: Limits & { buildMilliseconds: number } = {
  buildMilliseconds,
  stepMilliseconds: 3_600_000,
  readyMilliseconds: 600_000,
  // A layer and the machine made of it take Docker about a second.
  layerMilliseconds: 2000,
  memoryLayerMilliseconds: 30_000,
};

type Parts = Omit<RunParts, 'building' | 'limits'> & { log: Logger; limits?: Partial<typeof limits> };

/** Builds templates from code, each in a machine of its own. */
export class Builds {
  readonly #parts: RunParts & { log: Logger; limits: typeof limits };
  readonly #turns = new Starts({
    most: maxBuilding,
    mostOfOwner: maxBuildingOfOwner,
    what: 'templates are being built',
  });
  readonly #underWay = new Map<string, { giveUp: AbortController; work: Promise<void> }>();
  /** Resolves once the builds that a server before this one has left are recorded as failed. */
  readonly #ready: Promise<void>;
  #isStopped = false;

  constructor(parts: Parts) {
    this.#parts = { ...parts, limits: { ...limits, ...parts.limits }, building: new Set() };
    const { store, now, log } = this.#parts;
    this.#ready = inTransaction(store.db, (trx) => failInterrupted(trx, now())).catch((error) =>
      log.error({ err: error }, 'interrupted builds of templates could not be recorded'),
    );
  }

  /** Returns whether this is the machine of a build. */
  isBuilding(id: string): boolean {
    return this.#parts.building.has(id);
  }

  start(buildId: string, by: Actor): void {
    if (this.#isStopped || this.#underWay.has(buildId)) return;
    const giveUp = new AbortController();
    const work = this.#build(buildId, by, giveUp.signal).finally(() => this.#underWay.delete(buildId));
    this.#underWay.set(buildId, { giveUp, work });
  }

  cancel(buildId: string): void {
    this.#underWay.get(buildId)?.giveUp.abort(new BuildError(null, 'The build was given up'));
  }

  /** Ends all builds: they fail. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const stopped = new BuildError(null, 'The server stopped while it built the template: build it again');
    for (const { giveUp } of this.#underWay.values()) giveUp.abort(stopped);
    await Promise.all([...this.#underWay.values()].map(({ work }) => work));
  }

  async #build(id: string, by: Actor, signal: AbortSignal): Promise<void> {
    const { store, now } = this.#parts;
    const log = new BuildLog((entries) => inTransaction(store.db, (trx) => appendLog(trx, id, entries)), now);
    try {
      await this.#ready;
      await this.#inTurn(id, by, log, signal);
    } catch (error) {
      await this.#fail(id, log, signal.aborted ? signal.reason : error);
    }
  }

  async #inTurn(id: string, by: Actor, log: BuildLog, signal: AbortSignal): Promise<void> {
    const { store, collector, limits: given } = this.#parts;
    await this.#turns.acquire(by.ownerId, signal);
    try {
      const order = await findOrder(store.db, id);
      if (!order) return;
      const late = AbortSignal.timeout(given.buildMilliseconds);
      const within = AbortSignal.any([signal, late]);
      log.add('info', 'base', `Building ${order.name}`);
      const run = new BuildRun(this.#parts, order, by, log, within);
      await run.run().catch((error) => {
        throw late.aborted
          ? new BuildError(null, `The build took longer than ${given.buildMilliseconds / 60_000} minutes`)
          : error;
      });
      // The template may have replaced another.
      collector.wake();
    } finally {
      this.#turns.release(by.ownerId);
    }
  }

  /** Records why a build failed. What a build of this server's faults failed of is only logged. */
  async #fail(id: string, log: BuildLog, error: unknown): Promise<void> {
    const { store, now, log: server } = this.#parts;
    const isKnown = error instanceof BuildError || error instanceof LostLayer;
    if (!isKnown) server.error({ err: error, build: id }, 'a template could not be built');
    const reason = isKnown ? error.message : 'An internal error of the server, which its log describes';
    const step = error instanceof BuildError ? error.step : null;
    try {
      log.add('error', step, reason);
      await log.flush();
    } catch (cause) {
      server.error({ err: cause, build: id }, 'the log of a build could not be written');
    }
    await inTransaction(store.db, (trx) => failBuild(trx, now(), id, { reason, step })).catch((cause) =>
      server.error({ err: cause, build: id }, 'the end of a build could not be recorded'),
    );
  }
}
