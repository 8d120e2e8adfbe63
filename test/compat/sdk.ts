import { type Sdk, sdks } from './clients.ts';
import * as record from './record.ts';
import { type Serving, sharedServer } from './server.ts';

type Body = (session: Session) => Promise<void>;

export type Session = Serving & {
  sdk: Sdk;
  /** The application's time when the body starts, in milliseconds since 1970. */
  start: number;
  /** The SDK's class, bound to the server and to the key of a user of its own. */
  Sandbox: Sdk['Sandbox'];
  /** The SDK's templates, bound in the same way. */
  Template: Sdk['Template'];
  /** The same class of sandboxes, bound to another user's key. */
  Other: Sdk['Sandbox'];
  /** The same class, configured with the API's URL but not with the sandboxes'. */
  withoutSandboxUrl: Sdk['Sandbox'];
  /** The same class, bound to this key. */
  as: (apiKey: string) => Sdk['Sandbox'];
};

/** Returns functions that declare tests: one test for every version of the SDK. */
export function eachSdk() {
  const serving = sharedServer();
  return {
    /** Declares tests that the operation works, in `since` and later versions (default: all). */
    works: (operation: string, body: Body, { since = '0' } = {}): void => {
      for (const { client, sdk } of sdks) {
        const isOld = client.version.localeCompare(since, 'en', { numeric: true }) < 0;
        if (!isOld) record.compatible(client, operation, async () => body(await sessionOf(sdk, serving())));
      }
    },
    /** Declares tests that the SDK reports the operation as not offered. */
    refused: (operation: string, body: Body): void => {
      for (const { client, sdk } of sdks) {
        record.refused(client, operation, async () => body(await sessionOf(sdk, serving())));
      }
    },
  };
}

/** Returns the error that rejected the promise. Throws an Error if the promise was fulfilled. */
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
  const { Template } = new sdk.E2B({ apiKey: user.key, apiUrl: url });
  const classes = { Sandbox: as(user.key), Template, Other: as(other.key), withoutSandboxUrl };
  return { ...serving, sdk, start: app.clock.now, as, ...classes };
}
