import { createServer, type Server } from 'node:http';
import { closeNow, listen } from '../helpers/listen.ts';
import { type Caller, shareApp, type TestApp } from '../helpers/server.ts';

export type Serving = {
  app: TestApp;
  url: string;
  /** Adds a user for this test only. */
  addUser: () => Promise<Caller>;
};

/**
 * Starts one application behind a free port of 127.0.0.1 for all tests of a `describe`, because
 * starting it takes longer than any test. Returns a function that returns it during a test. Tests
 * do not disturb one another, because each adds its own users.
 */
export function sharedServer(): () => Serving {
  const app = shareApp();
  let server: Server;
  let url: string;
  let users = 0;
  before(async () => {
    server = createServer(app().listener);
    url = `http://127.0.0.1:${await listen(server)}`;
  });
  after(() => closeNow(server));
  return () => ({ app: app(), url, addUser: () => app().addUser(`user-${users++}`) });
}
