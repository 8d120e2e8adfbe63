import { MachineError, type MachineErrorCode } from '../../error.ts';

/** What an engine answered, as dockerode reports it. */
type Refusal = { statusCode?: number; json?: { message?: unknown } | null; reason?: string };

const fullWords =
  /no space left|disk quota|cannot allocate memory|out of memory|no available ipv?4? ?addresses|address pool|no free|too many open files|resource temporarily unavailable/i;
const unsupportedWords =
  /unknown (or invalid )?runtime|runtime ".*" not found|invalid runtime|minimum memory limit|not supported|storage-opt/i;
const imageWords = /no such image|image not known|unable to find .* in local storage|manifest unknown/i;
const goneWords =
  /is not running|not running|container .* is (stopped|paused)|no such container|no container with|container state improper|can only create exec sessions on running/i;
const connectionCodes = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EACCES',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'EAI_AGAIN',
  'EPERM',
  'ENOTSOCK',
  'ENETUNREACH',
]);

/** Returns the engine's own words for why it refused a call, at most 500 characters of them. */
export function engineWords(error: unknown): string {
  const { json } = error as Refusal;
  const words = json?.message ?? (error as Error).message ?? String(error);
  return String(words).replace(/\s+/g, ' ').trim().slice(0, 500);
}

/** Returns the HTTP status of an engine's refusal; undefined if it gave no answer. */
export function statusOf(error: unknown): number | undefined {
  return (error as Refusal).statusCode;
}

/** Whether the connection to the engine failed. */
export function isConnectionFailure(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return connectionCodes.has(code ?? '') || /socket hang up/.test(message ?? '');
}

/**
 * Returns the MachineError for a failed call of the engine; `doing` says what the call was for, as
 * in `start the machine`. The engine's own words are in `cause`, because users must not see them.
 */
export function machineError(error: unknown, doing: string): MachineError {
  if (error instanceof MachineError) return error;
  const cause = new Error(engineWords(error), { cause: error });
  const make = (code: MachineErrorCode, message: string) => new MachineError(code, message, { cause });
  if (isConnectionFailure(error)) return make('unavailable', 'the container engine does not answer');
  const words = engineWords(error);
  if (statusOf(error) === 404 && imageWords.test(words))
    return make('no_image', `the container engine has no such image`);
  if (fullWords.test(words)) return make('full', `the container engine has no room to ${doing}`);
  if (unsupportedWords.test(words)) return make('unsupported', `the container engine can't ${doing}: ${words}`);
  if (goneWords.test(words)) return make('gone', 'the machine does not exist, has stopped or is paused');
  return make('failed', `the container engine failed to ${doing}`);
}
