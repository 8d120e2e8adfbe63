import { finished } from 'node:stream/promises';
import type { RequestHandler } from 'express';
import { TestClock } from './clock.ts';
import { errorOf, Faults, spoilAnswer } from './faults.ts';
import { Recording } from './recording.ts';

/** What a server has that is made for tests: `sandpit serve --test`, and nothing else. */
export type TestMode = {
  clock: TestClock;
  faults: Faults;
  recording: Recording;
  /** Has everything be as it was when the server started: its own state and, one after another, what `onReset` was given. */
  reset: () => Promise<void>;
  onReset: (begin: () => void | Promise<void>) => void;
};

/** Returns the state of a test server. `start` is where its clock stands still; null lets it run with the machine's. */
export function createTestMode(systemNow: () => number, start: number | null): TestMode {
  const clock = new TestClock(systemNow, start);
  const faults = new Faults();
  const recording = new Recording();
  const beginnings: (() => void | Promise<void>)[] = [];
  const begin = async () => {
    clock.reset();
    faults.clear();
    faults.giveUp();
    recording.clear();
    for (const beginning of beginnings) await beginning();
  };
  let last = Promise.resolve();
  const reset = () => {
    last = last.catch(() => {}).then(begin);
    return last;
  };
  return { clock, faults, recording, reset, onReset: (beginning) => void beginnings.push(beginning) };
}

/** Returns what a test server does first with every request that is not about the test itself. */
export function testMiddleware({ clock, faults, recording }: TestMode): RequestHandler {
  return async (req, res, next) => {
    // Node would show the machine's time, which no test can hold an answer against.
    res.setHeader('Date', new Date(clock.now()).toUTCString());
    if (req.path.startsWith('/_test/')) return next();
    recording.add(req, res, clock.now());
    const fault = faults.take(req.method, req.path);
    if (!fault) return next();
    if (fault.delay_seconds && !(await faults.wait(fault.delay_seconds))) return void req.socket.destroy();
    spoilAnswer(req, res, fault);
    const error = errorOf(fault);
    if (!error && fault.connection !== 'drop') return next();
    // So that all of it is recorded, and no client is answered while it is still sending.
    await finished(req.resume()).catch(() => {});
    if (fault.connection === 'drop') req.socket.destroy();
    else next(error);
  };
}
