import { isObject, type Json, type JsonObject, parseJson } from '../../../db/json/json.ts';
import { type Client, Unreachable } from '../http/client.ts';
import { answered, type Exchange, quoted } from '../http/exchange.ts';
import { endEach, endOne, findUnnamed } from './cleanup.ts';
import type { MakerOptions, OwnSandbox } from './sandbox.ts';

export type Maker = {
  made: OwnSandbox[];
  /** Why the server refused some of what it was asked to make. */
  refusals: string[];
  /** Makes one. Returns null, and notes it as a refusal, when the server wouldn't. */
  make: (document: string) => Promise<OwnSandbox | null>;
  /** Throws an Error that says why. */
  end: (sandbox: OwnSandbox) => Promise<Exchange>;
  /** Ends all that runs, what was made without an answer included. Returns what could not be ended, and why. */
  endAll: () => Promise<string[]>;
};

/** Returns what makes sandboxes by a documented way, `POST /v1/vms` or else `POST /v1/sessions/session`, and ends them. */
export function createMaker(client: Client, making: MakerOptions): Maker {
  const { run } = making;
  const made: OwnSandbox[] = [];
  const refusals: string[] = [];
  let way: Way | undefined;
  let tried = 0;
  /** Of sandboxes that were made, or may have been, without an answer that names them. */
  let unnamed = 0;
  let isDoubtful = false;

  const make: Maker['make'] = async (document) => {
    const ways = way ? [way] : [byVm, bySession].filter((one) => one === byVm || making.apiKey !== undefined);
    const failed: string[] = [];
    for (const one of ways) {
      const n = tried++;
      const text = `{${tagOf(run)},"conform_n":${n}${rest(document)}}`;
      const exchange = await one(client, making, text).catch((error) => {
        if (error instanceof Unreachable) unnamed++;
        throw error;
      });
      const { status } = exchange;
      const isMade = status < 300;
      const ids = isMade ? idsIn(exchange) : null;
      if (ids) {
        way = one;
        const sandbox = { n, metadata: parseJson(text) as JsonObject, ...ids, hasEnded: false };
        made.push(sandbox);
        return sandbox;
      }
      failed.push(`${answered(exchange)}${isMade ? ' without vm_id, sandbox_id or session_id' : ''}`);
      if (status >= 500) isDoubtful = true;
      // Another way would make another one.
      if (isMade) {
        unnamed++;
        break;
      }
    }
    refusals.push(failed.join(', '));
    return null;
  };
  const endAll = async () => {
    const lost = unnamed > 0 || isDoubtful ? await findUnnamed(client, making, made, unnamed) : [];
    return [...lost, ...(await endEach(client, made))];
  };
  return { made, refusals, make, end: (sandbox) => endOne(client, sandbox), endAll };
}

/** Returns the member of every metadata that the run makes. */
export function tagOf(run: string): string {
  return `"conform_run":${JSON.stringify(run)}`;
}

function rest(document: string): string {
  const members = document.trim().slice(1, -1).trim();
  return members === '' ? '' : `,${members}`;
}

type Way = (client: Client, making: MakerOptions, metadata: string) => Promise<Exchange>;

const byVm: Way = (client, { lifetimeSeconds, template }, metadata) => {
  const from = template === undefined ? '' : `,"snapshot_id":${JSON.stringify(template)}`;
  const body = `{"vm_lifetime_seconds":${lifetimeSeconds},"metadata":${metadata}${from}}`;
  return client.send('POST', '/v1/vms', { body });
};

const bySession: Way = (client, { apiKey, lifetimeSeconds }, metadata) => {
  const members = `"vm_lifetime_seconds":${lifetimeSeconds},"metadata":${metadata}}`;
  const body = `{"api_key":${JSON.stringify(apiKey)},${members}`;
  const shownBody = `'{"api_key":"'"$API_KEY"'",'${quoted(members)}`;
  return client.send('POST', '/v1/sessions/session', { body, shownBody, credentials: [] });
};

function idsIn({ body }: Exchange): Pick<OwnSandbox, 'vmId' | 'sessionId'> | null {
  const answer = readOrNull(body);
  if (!isObject(answer)) return null;
  const text = (value: Json | undefined) => (typeof value === 'string' ? value : null);
  const ids = { vmId: text(answer.vm_id) ?? text(answer.sandbox_id), sessionId: text(answer.session_id) };
  return ids.vmId === null && ids.sessionId === null ? null : ids;
}

function readOrNull(text: string): Json {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
