import { finished } from 'node:stream/promises';
import type { Request, RequestHandler } from 'express';
import type { User } from '../../../db/accounts/users.ts';
import { credentialReader, isPresented } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { TestClock } from './clock.ts';
import { errorOf, sendRaw, spoilResponse } from './fault-responses.ts';
import { Faults } from './faults.ts';
import { Recording } from './recording.ts';

type Restore = () => void | Promise<void>;
type RestoreUser = (user: User) => Promise<void>;

/** The state of a test server (`sandpit serve --test`) that other servers do not have. */
export type TestMode = {
  clock: TestClock;
  faults: Faults;
  recording: Recording;
  /**
   * Returns the server to its initial state: clears the state here, then calls the functions that
   * `onReset` registered, one after another. With a user, only that user's state is reset; the
   * clock is shared, so it stays.
   */
  reset: (user: User | null) => Promise<void>;
  /** Registers a function that restores the initial state of something. */
  onReset: (restore: Restore) => void;
  /** Registers a function that restores a user's initial state. */
  onUserReset: (restore: RestoreUser) => void;
};

/** Returns the state of a test server. See TestClock for `start`. */
export function createTestMode(systemNow: () => number, start: number | null): TestMode {
  const clock = new TestClock(systemNow, start);
  const faults = new Faults();
  const recording = new Recording();
  const restoreAll: Restore[] = [];
  const restoreUser: RestoreUser[] = [];
  const restore = async (user: User | null) => {
    const userId = user?.id ?? null;
    if (!user) clock.reset();
    faults.clear(userId);
    faults.cancelDelays(userId);
    recording.clear({ userId });
    if (user) for (const restoreIt of restoreUser) await restoreIt(user);
    else for (const restoreIt of restoreAll) await restoreIt();
  };
  let lastReset = Promise.resolve();
  const reset = (user: User | null) => {
    lastReset = lastReset.catch(() => {}).then(() => restore(user));
    return lastReset;
  };
  return {
    clock,
    faults,
    recording,
    reset,
    onReset: (restoreIt) => void restoreAll.push(restoreIt),
    onUserReset: (restoreIt) => void restoreUser.push(restoreIt),
  };
}

/** The id of the user whose credential a request carries, set by `recordRequests`. */
const senders = new WeakMap<Request, number>();

/** Returns the handler that records each request, except the test's own to `/_test/`. */
export function recordRequests(context: Context, { clock, recording }: TestMode): RequestHandler {
  const readCredential = credentialReader(context);
  return async (req, res, next) => {
    // Node would send the machine's time, which differs from the test's clock.
    res.setHeader('Date', new Date(clock.now()).toUTCString());
    if (req.path.startsWith('/_test/')) return next();
    const entry = recording.add(req, res, clock.now());
    const principal = isPresented(req) && (await readCredential(req).catch(() => false as const));
    if (principal) {
      entry.userId = principal.user.id;
      senders.set(req, principal.user.id);
    }
    next();
  };
}

/**
 * Returns the handler that makes requests fail as the test asked. CORS preflights (OPTIONS) are
 * exempt: they come from the browser, not from the client under test.
 */
export function injectFaults({ faults }: TestMode): RequestHandler {
  return async (req, res, next) => {
    if (req.path.startsWith('/_test/') || req.method === 'OPTIONS') return next();
    const sender = senders.get(req) ?? null;
    const fault = faults.take(req.method, req.path, sender);
    if (!fault) return next();
    if (fault.delay_seconds && !(await faults.delay(fault.delay_seconds, sender))) return void req.socket.destroy();
    spoilResponse(req, res, fault);
    const error = errorOf(fault);
    if (!error && fault.connection !== 'drop') return next();
    // Read the whole body first: it is recorded, and clients expect no response while they send.
    await finished(req.resume()).catch(() => {});
    if (fault.connection === 'drop') req.socket.destroy();
    else if (fault.body !== undefined) sendRaw(res, fault);
    else next(error);
  };
}
