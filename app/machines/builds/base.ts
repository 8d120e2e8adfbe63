import { setTimeout as delay } from 'node:timers/promises';
import type { BuildSpec } from '../../../db/builds/spec.ts';
import { noSetup } from '../../../db/machines/setup.ts';
import type { Config } from '../../config/settings.ts';
import { HttpError } from '../../errors.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import { baseName, type Image, type Images } from '../images/images.ts';
import type { Size } from '../launch/size.ts';
import { untilAborted } from '../until-aborted.ts';
import type { BuildLog } from './build-log.ts';
import { BuildError, baseStep, failedAt } from './failure.ts';
import { mayBePulled, wholeReference } from './image-reference.ts';

/** What a build starts from. */
export type Base = Image & {
  /** the engine's id of an image's content; null for a snapshot, whose reference says it all */
  contentId: string | null;
  /** the size of the machine, if what is kept of it holds memory; null: any size */
  memorySize: Size | null;
};

/** How long the image may take to arrive, and how often to look whether others have pulled it. */
const baseMilliseconds = 900_000;
const lookMilliseconds = 1000;

/** How often the progress of a pull is said. */
const sayMilliseconds = 5000;

export type BaseParts = {
  driver: Driver;
  images: Pick<Images, 'imageOf' | 'find' | 'list'>;
  config: Pick<Config, 'templateImages'>;
};

/**
 * Finds what a build of an owner starts from, and fetches an image that the engine lacks. Throws
 * BuildError and the reason of the signal.
 */
export async function findBase(
  parts: BaseParts,
  { ownerId, spec: { from, env }, size }: { ownerId: number; spec: BuildSpec; size: Size },
  log: BuildLog,
  signal: AbortSignal,
): Promise<Base> {
  const late = AbortSignal.timeout(baseMilliseconds);
  const within = AbortSignal.any([signal, late]);
  try {
    const image =
      'image' in from
        ? await imageNamed(parts, from.image, log, within)
        : await imageOfTemplate(parts, ownerId, from.template, log, within);
    const found = image.isSnapshot ? null : await untilAborted(parts.driver.image(image.image), within);
    const own = image.setup ?? noSetup;
    const setup = Object.keys(env).length === 0 ? image.setup : { ...own, env: { ...own.env, ...env } };
    return { ...image, setup, contentId: found?.id ?? null, memorySize: parts.driver.keepsMemory ? size : null };
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) throw new BuildError(baseStep, tooSlow, { cause: error });
    throw failedAt(baseStep, error);
  }
}

const tooSlow = `What the template starts from was not there within ${baseMilliseconds / 60_000} minutes: try again later`;

/** Waits for an image that is being pulled for its template. */
async function imageOfTemplate(
  { images }: BaseParts,
  ownerId: number,
  template: string,
  log: BuildLog,
  within: AbortSignal,
): Promise<Image> {
  let said = 0;
  for (;;) {
    try {
      return await untilAborted(images.imageOf(ownerId, template), within);
    } catch (error) {
      if (!(error instanceof HttpError) || error.status !== 503) throw error;
      if (performance.now() - said >= sayMilliseconds) {
        log.add('info', baseStep, error.message);
        said = performance.now();
      }
    }
    await delay(lookMilliseconds, undefined, { signal: within });
  }
}

/** Returns an image by its reference, which is pulled if need be and the settings allow it. */
async function imageNamed(
  { driver, images, config }: BaseParts,
  given: string,
  log: BuildLog,
  within: AbortSignal,
): Promise<Image> {
  const whole = wholeReference(given);
  const isTemplates = (await images.list()).some(({ image }) => image === given || image === whole);
  if (config.templateImages === 'templates' && !isTemplates) throw new BuildError(baseStep, `${given} ${closed}`);
  const has = async (reference: string) => (await untilAborted(driver.image(reference), within)) !== null;
  // The engine may know it by a name that no registry has.
  const image = (await has(given)) ? given : whole;
  if (image !== given && !(await has(image))) {
    const problem = mayBePulled(whole);
    if (problem !== null) throw new BuildError(baseStep, `${given} can't be pulled: ${problem}`);
    await pull(driver, whole, log, within);
  }
  // As an administrator has decided for the template `base`: which runtime isolates machines, and
  // whether programs may gain privileges.
  const { allowsSudo = false, runtime = null } = (await images.find(baseName)) ?? {};
  return { image, allowsSudo, runtime, isSnapshot: false, size: null, hasMemory: false, setup: null };
}

const closed = 'is none of the images that this server builds from: start from a template, or ask its administrator';

async function pull(driver: Driver, image: string, log: BuildLog, within: AbortSignal): Promise<void> {
  let said = performance.now();
  log.add('info', baseStep, `Pulling ${image}`);
  const onProgress = (words: string) => {
    if (performance.now() - said < sayMilliseconds) return;
    said = performance.now();
    log.add('info', baseStep, `Pulling ${image}: ${words}`);
  };
  await untilAborted(driver.pull(image, onProgress, within), within).catch((error) => {
    if (!(error instanceof MachineError)) throw error;
    throw new BuildError(baseStep, `${image} could not be pulled: ${error.message}`, { cause: error });
  });
}
