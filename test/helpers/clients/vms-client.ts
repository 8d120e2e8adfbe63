import { type Caller, clientOf, startApp, type TestApp } from '../server.ts';

/**
 * Starts an application with one caller for each test, and returns both with the caller's client.
 * These objects are filled before each test, so read their members only inside tests.
 */
export function useVms() {
  const app = {} as TestApp;
  const alice = {} as Caller;
  beforeEach(async () => {
    Object.assign(app, await startApp());
    Object.assign(alice, await app.addUser('alice'));
  });
  return { app, alice, ...clientOf(app, alice) };
}
