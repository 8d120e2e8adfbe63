import { HttpError } from '../../errors.ts';
import { AgentError } from '../agent/error.ts';
import { MachineError } from '../error.ts';
import { StepError } from './workplace.ts';

/** The parts of a build that are no steps, as E2B's clients know them. */
export const baseStep = 'base';
export const finalizeStep = 'finalize';

/** Why a build failed, in words for its owner. */
export class BuildError extends Error {
  override name = 'BuildError';
  /** `base`, the number of a step from 1 on, or `finalize`; null: the build as a whole */
  readonly step: string | null;

  constructor(step: string | null, message: string, options?: ErrorOptions) {
    super(message, options);
    this.step = step;
  }
}

/** What a build was to start from is gone since it was found: it has to look again. */
export class LostLayer extends Error {}

/** Returns an error of a part of a build as one that names the part; others are bugs. */
export function failedAt(step: string, error: unknown, what = ''): unknown {
  const kinds = [StepError, AgentError, MachineError, HttpError];
  if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) return error;
  const message = error instanceof MachineError && error.code === 'gone' ? stopped : error.message;
  return new BuildError(step, `${what}${message}`, { cause: error });
}

const stopped = 'The machine of the build stopped, perhaps because it had too little memory';
