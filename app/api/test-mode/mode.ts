import { finished } from 'node:stream/promises';
import type { Request, RequestHandler } from 'express';
import type { User } from '../../../db/accounts/users.ts';
import { credentialReader, isPresented } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { TestClock } from './clock.ts';
import { errorOf, Faults, sendRaw, spoilAnswer } from './faults.ts';
import { Recording } from './recording.ts';

type Begin = () => void | Promise<void>;
type BeginFor = (user: User) => Promise<void>;

/** What a server has that is made for tests: `sandpit serve --test`, and nothing else. */
export type TestMode = {
  clock: TestClock;
  faults: Faults;
  recording: Recording;
  /**
   * Makes everything as it was when the server started: its own state and, one after another, what `onReset` was given.
   * With a user, only what is that user's; the clock is everybody's.
   */
  reset: (user: User | null) => Promise<void>;
  onReset: (begin: Begin) => void;
  onUserReset: (begin: BeginFor) => void;
};

/** Returns the state of a test server. `start` is where its clock stands still; null lets it run with the machine's. */
export function createTestMode(systemNow: () => number, start: number | null): TestMode {
  const clock = new TestClock(systemNow, start);
  const faults = new Faults();
  const recording = new Recording();
  const beginnings: Begin[] = [];
  const userBeginnings: BeginFor[] = [];
  const begin = async (user: User | null) => {
    const id = user?.id ?? null;
    if (!user) clock.reset();
    faults.clear(id);
    faults.giveUp(id);
    recording.clear({ user: id });
    if (user) for (const beginning of userBeginnings) await beginning(user);
    else for (const beginning of beginnings) await beginning();
  };
  let last = Promise.resolve();
  const reset = (user: User | null) => {
    last = last.catch(() => {}).then(() => begin(user));
    return last;
  };
  return {
    clock,
    faults,
    recording,
    reset,
    onReset: (beginning) => void beginnings.push(beginning),
    onUserReset: (beginning) => void userBeginnings.push(beginning),
  };
}

const senders = new WeakMap<Request, number>();

/** Returns the handler that notes every request that is not about the test itself, and shows the test's time. */
export function recordRequests(context: Context, { clock, recording }: TestMode): RequestHandler {
  const authenticate = credentialReader(context);
  return async (req, res, next) => {
    // Node would show the machine's time, which no test can hold an answer against.
    res.setHeader('Date', new Date(clock.now()).toUTCString());
    if (req.path.startsWith('/_test/')) return next();
    const note = recording.add(req, res, clock.now());
    const principal = isPresented(req) && (await authenticate(req).catch(() => false as const));
    if (principal) {
      note.user = principal.user.id;
      senders.set(req, principal.user.id);
    }
    next();
  };
}

/** Returns the handler that makes requests go wrong as the test asked. A browser's preflight is no request of a client's. */
export function injectFaults({ faults }: TestMode): RequestHandler {
  return async (req, res, next) => {
    if (req.path.startsWith('/_test/') || req.method === 'OPTIONS') return next();
    const sender = senders.get(req) ?? null;
    const fault = faults.take(req.method, req.path, sender);
    if (!fault) return next();
    if (fault.delay_seconds && !(await faults.wait(fault.delay_seconds, sender))) return void req.socket.destroy();
    spoilAnswer(req, res, fault);
    const error = errorOf(fault);
    if (!error && fault.connection !== 'drop') return next();
    // So that all of it is recorded, and no client is answered while it is still sending.
    await finished(req.resume()).catch(() => {});
    if (fault.connection === 'drop') req.socket.destroy();
    else if (fault.body !== undefined) sendRaw(res, fault);
    else next(error);
  };
}
