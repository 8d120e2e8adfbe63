import type { JsonObject } from '../json/json.ts';

/** What a pause keeps: everything, or files but not memory. */
export type PauseMode = 'full' | 'filesystem';

/** What a sandbox's settings say about pauses. */
export type PauseSettings = {
  /** whether a pause at the end of a run keeps memory; default: true */
  autoPauseMemory?: boolean | undefined;
  /** the last pause by request that kept something else, and when it happened */
  pause?: { at: number; mode: PauseMode };
};

/** Returns the mode of a pause that keeps memory, or only files. */
export function modeOf(hasMemory: boolean): PauseMode {
  return hasMemory ? 'full' : 'filesystem';
}

/**
 * Returns how a sandbox was paused that is paused since a time. A pause at another time than the
 * recorded one came at the end of a later run.
 */
export function lastPauseMode({ pause, autoPauseMemory = true }: PauseSettings, since: number | null): PauseMode {
  return pause?.at === since && pause ? pause.mode : modeOf(autoPauseMemory);
}

/** Returns how a sandbox was paused that is paused now. */
export function pauseModeOf({ settings, endAt }: { settings: string | null; endAt: number | null }): PauseMode {
  return lastPauseMode(settings === null ? {} : JSON.parse(settings), endAt);
}

/**
 * Returns a change of settings that records a pause by request, for `pauseSandbox`. It returns the
 * same object if they say so already.
 */
export function recordPause(hasMemory: boolean): (old: JsonObject, at: number) => JsonObject {
  const mode = modeOf(hasMemory);
  return (old, at) => (lastPauseMode(old as PauseSettings, at) === mode ? old : { ...old, pause: { at, mode } });
}
