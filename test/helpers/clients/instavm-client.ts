import type { Config } from '../../../app/config/settings.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { apiKey, type Caller, startApp } from '../server.ts';

/**
 * Starts an application with two callers. Returns both and a client for InstaVM's calls, alice's by
 * default.
 */
export async function startInstavm(config: Partial<Config> = {}, driver?: Driver) {
  const app = await startApp(config, driver ? { driver } : {});
  const alice = await app.addUser('alice');
  const bob = await app.addUser('bob');
  return {
    app,
    alice,
    bob,
    get: (path: string, caller: Caller = alice) => app.http.get(path).set(apiKey(caller)),
    post: (path: string, body?: object, caller: Caller = alice) => app.http.post(path).set(apiKey(caller)).send(body),
    remove: (path: string, caller: Caller = alice) => app.http.delete(path).set(apiKey(caller)),
  };
}

export type Instavm = Awaited<ReturnType<typeof startInstavm>>;
