import type { Result } from '../docs/results.ts';
import { type Sdk, sdks } from './clients.ts';
import { records as record } from './record.ts';
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

/**
 * Returns functions that declare tests: one for every version of the SDK from `since` on. Each
 * function is named for the result that its tests prove.
 */
export function eachSdk() {
  const serving = sharedServer();
  const declare =
    (result: Result) =>
    (operation: string, body: Body, { since = '0' } = {}) => {
      for (const { client, sdk } of sdks) {
        const isOld = client.version.localeCompare(since, 'en', { numeric: true }) < 0;
        if (!isOld) record.declare(client, operation, result, async () => body(await sessionOf(sdk, serving())));
      }
    };
  return {
    works: declare('works'),
    records: declare('on records only'),
    refused: declare('refused in words'),
    local: declare('local'),
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
