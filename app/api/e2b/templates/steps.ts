import type { BuildSpec, BuildStep } from '../../../../db/builds/spec.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { HttpError } from '../../../errors.ts';
import { parseReference } from '../references.ts';

type Schemas = components['schemas'];

/** The fewest and the most arguments of each type of step. */
const counts: Record<BuildStep['type'], { least: number; most: number; words: string }> = {
  COPY: { least: 2, most: 4, words: 'a source, a target, and perhaps an owner and a mode' },
  ENV: { least: 2, most: Number.POSITIVE_INFINITY, words: 'names and values in turn' },
  RUN: { least: 1, most: 2, words: 'a command, and perhaps a user' },
  USER: { least: 1, most: 1, words: 'a user' },
  WORKDIR: { least: 1, most: 1, words: 'a directory' },
};

/**
 * Returns the build that a request asks for. Throws HttpError 400, which names the step, for what
 * the contract can't exclude.
 */
export function buildSpecOf(asked: Required<Schemas['TemplateBuildStart']>, namespace: string): BuildSpec {
  const { fromImage, fromTemplate, force, startCmd, readyCmd } = asked as Schemas['TemplateBuildStart'];
  if ((fromImage === undefined) === (fromTemplate === undefined)) {
    throw new HttpError(400, 'Give either fromImage or fromTemplate');
  }
  return {
    from:
      fromTemplate === undefined
        ? { image: fromImage as string }
        : { template: parseReference(fromTemplate, namespace) },
    steps: asked.steps.map((step, n) => stepOf(step as Required<Schemas['TemplateStep']>, n + 1)),
    env: {},
    startCmd: startCmd || null,
    readyCmd: readyCmd || null,
    force: force ?? false,
  };
}

function stepOf(asked: Required<Schemas['TemplateStep']>, number: number): BuildStep {
  const { type, args, force } = asked;
  const filesHash = (asked as Schemas['TemplateStep']).filesHash ?? null;
  const name = `Step ${number}, ${type},`;
  const { least, most, words } = counts[type];
  const isWhole = type !== 'ENV' || args.length % 2 === 0;
  if (args.length < least || args.length > most || !isWhole) throw new HttpError(400, `${name} takes ${words}`);
  if (type === 'COPY' && filesHash === null) throw new HttpError(400, `${name} needs filesHash`);
  if (type !== 'COPY' && filesHash !== null) throw new HttpError(400, `${name} takes no filesHash`);
  if (type === 'ENV') requireNames(args, name);
  return { type, args, filesHash, force };
}

function requireNames(args: string[], step: string): void {
  const names = args.filter((_, n) => n % 2 === 0);
  const bad = names.find((name) => name === '' || name.includes('='));
  if (bad !== undefined) throw new HttpError(400, `${step} has a name that is empty or holds '='`);
}
