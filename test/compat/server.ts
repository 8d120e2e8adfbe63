import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Caller, shareApp, type TestApp } from '../helpers/server.ts';

export type Serving = {
  app: TestApp;
  url: string;
  /** Adds a user that no other test has. */
  addUser: () => Promise<Caller>;
};

/**
 * Has the tests of a `describe` share one application behind a free port of 127.0.0.1, as booting it takes longer than
 * any of them: users of their own keep them apart. Returns what gives it once a test runs.
 */
export function sharedServer(): () => Serving {
  const app = shareApp();
  let server: Server;
  let users = 0;
  before(async () => {
    server = await listening(app());
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return () => {
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    return { app: app(), url, addUser: () => app().addUser(`user-${users++}`) };
  };
}

async function listening(app: TestApp): Promise<Server> {
  const server = createServer(app.listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}
