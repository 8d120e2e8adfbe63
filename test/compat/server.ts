import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Caller, startApp, type TestApp } from '../helpers.ts';

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
  let serving: Serving | undefined;
  let close: (() => Promise<void>) | undefined;

  before(async () => {
    const app = await startApp();
    const server = await listening(app);
    let users = 0;
    const { port } = server.address() as AddressInfo;
    serving = { app, url: `http://127.0.0.1:${port}`, addUser: () => app.addUser(`user-${users++}`) };
    const closeApp = app.close;
    // After each test every application is closed, but this one.
    app.close = async () => {};
    close = async () => {
      server.close();
      server.closeAllConnections();
      await closeApp();
    };
  });

  after(() => close?.());

  return () => {
    if (!serving) throw new Error('there is no server before a test runs');
    return serving;
  };
}

async function listening(app: TestApp): Promise<Server> {
  const server = createServer(app.listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}
