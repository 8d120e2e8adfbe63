import { randomUUID } from 'node:crypto';
import type { Result } from '../../docs/results.ts';
import { until } from '../../helpers/until.ts';
import { type Client, type Sdk, sdks } from '../clients.ts';
import { machines as recorder } from '../record.ts';
import { type Serving, withServer } from './serving.ts';
import { target } from './target.ts';

export type Sandbox = InstanceType<Sdk['Sandbox']>;

export type Session = Serving & {
  sdk: Sdk;
  /** The SDK's class, bound to the server and to the key of `admin`. */
  Sandbox: Sdk['Sandbox'];
  /** The same class, bound to another user's key. */
  Other: Sdk['Sandbox'];
  /** A sandbox that all tests of this version share: leave it running. */
  sandbox: Sandbox;
  /** The home of `sandbox`'s user. */
  home: string;
  /** An empty folder in it, for this test only. */
  folder: string;
};

type Body = (session: Session) => Promise<void>;
type Options = { since?: string; engine?: boolean };

/**
 * Returns functions that declare tests with a machine behind each sandbox: one for every version of
 * the SDK from `since` on. A test with `engine` needs containers. Each
 * function is named for the result that its tests prove.
 */
export function eachSdkOnMachines() {
  const serving = withServer();
  const declare =
    (result: Result) =>
    (operation: string, body: Body, options: Options = {}) => {
      for (const { client, sdk } of sdks) {
        if (!takes(client, options)) continue;
        recorder.declare(client, operation, result, async () => body(await sessionOf(sdk, serving())));
      }
    };
  return { works: declare('works'), refused: declare('refused in words') };
}

function takes(client: Client, { since = '0', engine = false }: Options): boolean {
  // `npm test` must be quick: the older versions are for engines.
  if (!target.isEngine && (engine || client !== sdks.at(-1)?.client)) return false;
  return client.version.localeCompare(since, 'en', { numeric: true }) >= 0;
}

/** Collects text that arrives in parts. */
export function newListener() {
  let all = '';
  return {
    hear: (part: string): void => {
      all += part;
    },
    text: () => all,
    /** Waits until the text matches. */
    heard: (pattern: RegExp) => until(`${pattern}`, () => pattern.test(all)),
  };
}

type Shared = { sandbox: Sandbox; home: string };

const shared = new Map<Sdk, Promise<Shared>>();

async function sessionOf(sdk: Sdk, serving: Serving): Promise<Session> {
  const { url, key, otherKey } = serving;
  const as = (apiKey: string) => new sdk.E2B({ apiKey, apiUrl: url, sandboxUrl: url }).Sandbox;
  const Sandbox = as(key);
  const found = shared.get(sdk) ?? startShared(Sandbox);
  shared.set(sdk, found);
  // The next test tries again.
  found.catch(() => shared.delete(sdk));
  const { sandbox, home } = await found;
  const folder = `${home}/${randomUUID()}`;
  await sandbox.files.makeDir(folder);
  return { ...serving, sdk, Sandbox, Other: as(otherKey), sandbox, home, folder };
}

async function startShared(Sandbox: Sdk['Sandbox']): Promise<Shared> {
  const sandbox = await Sandbox.create({ timeoutMs: 3_600_000 });
  const { stdout } = await sandbox.commands.run('printf %s "$HOME"');
  return { sandbox, home: stdout };
}
