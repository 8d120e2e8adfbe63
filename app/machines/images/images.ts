import type { Logger } from 'pino';
import { findPlanned, type Planned } from '../../../db/builds/planned.ts';
import type { Setup } from '../../../db/machines/setup.ts';
import { findMachineSnapshot } from '../../../db/machines/snapshots.ts';
import { findTemplate, listTemplates, type MachineTemplate } from '../../../db/machines/templates.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { findStartable, listSnapshotImages } from '../../../db/snapshots/snapshots.ts';
import type { Store } from '../../../db/store.ts';
import type { Config } from '../../config/settings.ts';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../agent/agent.ts';
import { mayBePulled, wholeReference } from '../builds/image-reference.ts';
import type { Driver } from '../driver.ts';
import { Pulls } from './pulls.ts';
import { shellProblem } from './shell.ts';

/** What a machine is made from. */
export type Image = Pick<MachineTemplate, 'image' | 'allowsSudo' | 'runtime'> & {
  /** whether `image` is the reference of a snapshot */
  isSnapshot: boolean;
  /** the size of the machine that the snapshot was taken of; null: an image has none */
  size: Pick<Snapshot, 'memoryMb' | 'vcpuCount'> | null;
  hasMemory: boolean;
  /** what the snapshot lays down for its machines; null: nothing */
  setup: Setup | null;
};

/** `createdAt` is null for `base` while it stands for the setting. */
export type Template = MachineTemplate & { createdAt: number | null };

/** The template that stands for the setting `image`, unless one is stored under this name. */
export const baseName = 'base';

/** How often to look for images that are missing: commands of other processes add templates. */
const lookMilliseconds = 15_000;

type Parts = {
  driver: Pick<Driver, 'name' | 'image' | 'pull'>;
  store: Pick<Store, 'db'>;
  config: Pick<Config, 'image' | 'templateImages'>;
  log: Logger;
  /** the pause after the first failure of a pull */
  pauseMilliseconds?: number;
};

/** The images that templates stand for. What the engine lacks is pulled in the background. */
export class Images {
  readonly #parts: Parts;
  readonly #pulls: Pulls;
  /** The images that the engine had when it was asked last, with the ids of their content. */
  readonly #present = new Map<string, string>();
  readonly #checked = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #firstLook = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#pulls = new Pulls({
      ...parts,
      isWanted: async (image) => !(await this.#isPresent(image)) && (await this.#needed()).has(image),
    });
  }

  /** Begins to pull, in the background, what templates need and the engine does not have. */
  start(): void {
    const look = () =>
      this.#pullMissing().catch((error) => this.#parts.log.error({ err: error }, 'templates could not be read'));
    this.#firstLook = look();
    this.#timer = setInterval(look, lookMilliseconds).unref();
  }

  /** Returns the images that are being pulled or will be, once the first look has found them. */
  async planned(): Promise<string[]> {
    await this.#firstLook;
    return this.#pulls.planned();
  }

  /** Returns all templates, `base` among them. */
  async list(): Promise<Template[]> {
    const { store, config } = this.#parts;
    return withBase(await listTemplates(store.db), config);
  }

  /** Returns a template by its stored name, or null. */
  async find(name: string): Promise<Template | null> {
    const { store, config } = this.#parts;
    return (await findTemplate(store.db, name)) ?? (name === baseName ? baseOf(config) : null);
  }

  /** Returns whether the engine had an image when it was asked last. */
  isReady(image: string): boolean {
    return this.#present.has(image);
  }

  /**
   * Finds what a sandbox of a user is made from: a snapshot or the image of a template; null is
   * `base`. Throws HttpError: 501 for a snapshot that this driver did not take, 404 for an unknown
   * template, an image that no registry has or a snapshot that could not be built, 503 for one
   * that is being built, or pulled, or could not be pulled.
   * Throws MachineError when the engine does not answer; it is not asked for snapshots.
   */
  async imageOf(userId: number, templateId: string | null): Promise<Image> {
    const snapshot = templateId === null ? null : await findStartable(this.#parts.store.db, userId, templateId);
    if (snapshot) return this.#ofSnapshot(snapshot);
    const { image, allowsSudo, runtime, setup } = await this.#templateOf(userId, templateId);
    return this.#fetched({ image, isSnapshot: false, allowsSudo, runtime, size: null, hasMemory: false, setup });
  }

  /**
   * Returns an image that the engine has. Throws HttpError 503 or 404 for another one, which it
   * plans to pull.
   */
  async #fetched(found: Image): Promise<Image> {
    if (await this.#isPresent(found.image)) return found;
    this.#pulls.add(found.image);
    throw this.#pulls.refusal(found.image);
  }

  /**
   * Looks for the image that a user's snapshot stands for, and plans to pull it if the engine lacks
   * it. Throws HttpError 403 for an image that users may not have pulled.
   */
  async prepare(given: string): Promise<void> {
    const image = wholeReference(given);
    if (await this.#isPresent(image)) return;
    const isTemplates = (await this.list()).some((template) => template.image === image);
    const isClosed = this.#parts.config.templateImages === 'templates' && !isTemplates;
    const reason = isClosed ? 'users may only use the images of templates here' : mayBePulled(image);
    if (reason !== null) throw new HttpError(403, `The image ${given} can not be used: ${reason}`);
    this.#pulls.add(image);
  }

  /** Returns how far the image of a user's snapshot is. `error` says why it could not be pulled. */
  stateOf(given: string): { status: 'building' | 'ready' | 'failed'; error: string | null } {
    const image = wholeReference(given);
    if (this.isReady(image)) return { status: 'ready', error: null };
    const error = this.#pulls.failureOf(image);
    return { status: error === null ? 'building' : 'failed', error };
  }

  /** Plans to pull an image that the engine has lost. Returns the answer to the create. */
  missing(image: string): HttpError {
    this.#present.delete(image);
    this.#pulls.add(image);
    return this.#pulls.refusal(image);
  }

  /** Logs what the image of a new machine lacks for E2B's clients. It looks once at each image. */
  check(image: string, agent: Agent): void {
    const id = this.#present.get(image) ?? image;
    if (this.#checked.has(id)) return;
    this.#checked.add(id);
    shellProblem(agent).then(
      (problem) => void (problem && this.#parts.log.warn({ image }, problem)),
      () => void this.#checked.delete(id),
    );
  }

  /** Gives up the pull that is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#pulls.stop();
  }

  async #ofSnapshot({ machineRef, ociImage, memoryMb, vcpuCount, setup }: Snapshot): Promise<Image> {
    const { store, driver } = this.#parts;
    if (ociImage !== null) {
      const size = { memoryMb, vcpuCount };
      const image = wholeReference(ociImage);
      return this.#fetched({
        image,
        isSnapshot: false,
        allowsSudo: false,
        runtime: null,
        size,
        hasMemory: false,
        setup,
      });
    }
    const held = machineRef === null ? null : await findMachineSnapshot(store.db, machineRef);
    if (!held) throw new HttpError(501, recordOnly);
    const { ref, allowsSudo, runtime, hasMemory } = held;
    if (held.driver !== driver.name) throw new HttpError(501, otherDriver(held.driver, driver.name));
    return { image: ref, isSnapshot: true, allowsSudo, runtime, size: { memoryMb, vcpuCount }, hasMemory, setup };
  }

  async #templateOf(userId: number, templateId: string | null): Promise<Template> {
    const found = await this.find(templateId ?? baseName);
    if (found) return found;
    const planned = templateId === null ? null : await findPlanned(this.#parts.store.db, userId, templateId);
    throw planned ? notBuilt(planned) : new HttpError(404, `template '${templateId}' not found`);
  }

  async #isPresent(image: string): Promise<boolean> {
    if (this.#present.has(image)) return true;
    const found = await this.#parts.driver.image(image);
    if (!found) return false;
    this.#present.set(image, found.id);
    this.#pulls.forget(image);
    return true;
  }

  /** Returns the images that templates and snapshots stand for. */
  async #needed(): Promise<Set<string>> {
    const [templates, ofSnapshots] = await Promise.all([this.list(), listSnapshotImages(this.#parts.store.db)]);
    return new Set([...templates.map(({ image }) => image), ...ofSnapshots.map(wholeReference)]);
  }

  async #pullMissing(): Promise<void> {
    for (const image of await this.#needed()) {
      // An engine that does not answer now may do so at a later try.
      if (!(await this.#isPresent(image).catch(() => false))) this.#pulls.add(image);
    }
  }
}

/** Returns the stored templates, with `base` first if it is not stored. */
export function withBase(stored: Template[], config: Pick<Config, 'image'>): Template[] {
  return stored.some(({ name }) => name === baseName) ? stored : [baseOf(config), ...stored];
}

function baseOf({ image }: Pick<Config, 'image'>): Template {
  return { name: baseName, image, allowsSudo: false, runtime: null, setup: null, createdAt: null };
}

/** Returns the answer to a create from a snapshot that the engine has lost. */
export function snapshotMissing(): HttpError {
  return new HttpError(404, 'The engine has lost what this snapshot holds: delete it and take another');
}

function notBuilt({ id, state }: Planned): HttpError {
  return state.status === 'building'
    ? new HttpError(503, `The snapshot '${id}' is being built: try again when its status is ready`)
    : new HttpError(404, `The snapshot '${id}' could not be built: ${state.error}`);
}

const recordOnly =
  'This snapshot is a record only: no machine can start from it. Take one of a sandbox that runs, or start from a template of GET /default-templates';

function otherDriver(taken: string, now: string): string {
  return `This snapshot was taken with the driver ${taken}, and machines run with ${now} now: take another one`;
}
