import { type Sdk, sdks } from './clients.ts';
import * as record from './record.ts';
import { type Serving, sharedServer } from './server.ts';

type Body = (session: Session) => Promise<void>;

export type Session = Serving & {
  sdk: Sdk;
  /** What the application's clock shows when the body begins. */
  start: number;
  /** The SDK's class, bound to the server and to the key of a user of its own. */
  Sandbox: Sdk['Sandbox'];
  /** The same class, bound to another user's key. */
  Other: Sdk['Sandbox'];
  /** The same class, told where the API is and not where sandboxes are. */
  withoutSandboxUrl: Sdk['Sandbox'];
  /** The same class, bound to this key. */
  as: (apiKey: string) => Sdk['Sandbox'];
};

/** Returns what declares the tests of a `describe`, each once for every version of the SDK. */
export function eachSdk() {
  const serving = sharedServer();
  return {
    /** Declares tests that the operation works, from the version `since` on if that is given. */
    works: (operation: string, body: Body, { since = '0' } = {}): void => {
      for (const { client, sdk } of sdks) {
        const isOld = client.version.localeCompare(since, 'en', { numeric: true }) < 0;
        if (!isOld) record.compatible(client, operation, async () => body(await sessionOf(sdk, serving())));
      }
    },
    /** Declares tests of how the SDK says that the operation isn't to be had. */
    refused: (operation: string, body: Body): void => {
      for (const { client, sdk } of sdks) {
        record.refused(client, operation, async () => body(await sessionOf(sdk, serving())));
      }
    },
  };
}

/** Returns what the promise was rejected with; throws an Error when it was fulfilled. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const fulfilled = new Error('nothing was thrown');
  const reason = await promise.then(
    () => fulfilled,
    (error) => error,
  );
  if (reason === fulfilled) throw fulfilled;
  return reason;
}

async function sessionOf(sdk: Sdk, serving: Serving): Promise<Session> {
  const { app, url, addUser } = serving;
  const as = (apiKey: string) => new sdk.E2B({ apiKey, apiUrl: url, sandboxUrl: url }).Sandbox;
  const [user, other] = [await addUser(), await addUser()];
  const withoutSandboxUrl = new sdk.E2B({ apiKey: user.key, apiUrl: url }).Sandbox;
  const classes = { Sandbox: as(user.key), Other: as(other.key), withoutSandboxUrl };
  return { ...serving, sdk, start: app.clock.now, as, ...classes };
}
