import { isObject, type Json, type JsonObject, parseJson } from '../../db/json.ts';
import { type Client, Unreachable } from './client.ts';
import { type Exchange, quoted } from './exchange.ts';
import { itemsOf } from './items.ts';

/** A sandbox that the suite made. */
export type Made = {
  /** its number among them, from 0, oldest first: `conform_n` of its metadata */
  n: number;
  metadata: JsonObject;
  vmId: string | null;
  sessionId: string | null;
  hasEnded: boolean;
};

export type Maker = {
  made: Made[];
  /** Why the server refused some of what it was asked to make. */
  refusals: string[];
  /** Makes one. Returns null, and notes it as a refusal, when the server wouldn't. */
  make: (document: string) => Promise<Made | null>;
  /** Throws an Error that says why. */
  end: (sandbox: Made) => Promise<Exchange>;
  /** Ends all that runs. Returns what could not be ended, and why. */
  endAll: () => Promise<string[]>;
};

export type Making = {
  run: string;
  apiKey?: string | undefined;
  lifetimeSeconds: number;
  template?: string | undefined;
};

/** Returns what makes sandboxes by a documented way, `POST /v1/vms` or else `POST /v1/sessions/session`, and ends them. */
export function createMaker(client: Client, making: Making): Maker {
  const { run } = making;
  const made: Made[] = [];
  const refusals: string[] = [];
  let way: Way | undefined;
  let isUncertain = false;

  const make: Maker['make'] = async (document) => {
    const n = made.length + refusals.length;
    const text = `{${tagOf(run)},"conform_n":${n}${rest(document)}}`;
    const ways = way ? [way] : [byVm, bySession].filter((one) => one === byVm || making.apiKey !== undefined);
    const failed: string[] = [];
    for (const one of ways) {
      isUncertain = true;
      const exchange = await one(client, making, text);
      isUncertain = false;
      const ids = exchange.status < 300 ? idsIn(exchange) : null;
      if (!ids) {
        failed.push(`${exchange.sent.method} ${new URL(exchange.sent.url).pathname} answered ${exchange.status}`);
        continue;
      }
      way = one;
      const sandbox = { n, metadata: parseJson(text) as JsonObject, ...ids, hasEnded: false };
      made.push(sandbox);
      return sandbox;
    }
    refusals.push(failed.join(', '));
    return null;
  };
  const end = async (sandbox: Made) => {
    const exchange = await endOne(client, sandbox);
    sandbox.hasEnded = true;
    return exchange;
  };
  const endAll = async () => {
    const left: string[] = [];
    const lost = isUncertain ? await lostOf(client, run, made).catch(() => []) : [];
    let gone: Unreachable | undefined;
    for (const sandbox of [...made, ...lost]) {
      if (sandbox.hasEnded) continue;
      try {
        // A server that is gone isn't waited for again and again.
        if (gone) throw gone;
        await end(sandbox);
      } catch (error) {
        if (error instanceof Unreachable) gone = error;
        left.push(`${sandbox.vmId ?? sandbox.sessionId}: ${(error as Error).message}`);
      }
    }
    return left;
  };
  return { made, refusals, make, end, endAll };
}

/** Returns the member of every metadata that the run makes. */
export function tagOf(run: string): string {
  return `"conform_run":${JSON.stringify(run)}`;
}

function rest(document: string): string {
  const members = document.trim().slice(1, -1).trim();
  return members === '' ? '' : `,${members}`;
}

type Way = (client: Client, making: Making, metadata: string) => Promise<Exchange>;

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

function idsIn({ body }: Exchange): Pick<Made, 'vmId' | 'sessionId'> | null {
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

async function endOne(client: Client, { vmId, sessionId }: Made): Promise<Exchange> {
  const attempts: [string, string, string?][] = [
    ...(vmId === null ? [] : [['DELETE', `/v1/vms/${encodeURIComponent(vmId)}`] as [string, string]]),
    ...(sessionId === null
      ? []
      : [['POST', '/kill', JSON.stringify({ session_id: sessionId })] as [string, string, string]]),
  ];
  const failed: string[] = [];
  for (const [method, path, body] of attempts) {
    const exchange = await client.send(method, path, { body, isCleanup: true });
    if (exchange.status < 300) return exchange;
    failed.push(`${method} ${path} answered ${exchange.status}`);
  }
  throw new Error(failed.join(', '));
}

/** Returns what a creation without an answer may have left: what carries the run's tag, a random one, is ours. */
async function lostOf(client: Client, run: string, made: Made[]): Promise<Made[]> {
  const exchange = await client.send('GET', `/v1/sessions/sandboxes?limit=1000`, { isCleanup: true });
  const known = new Set(made.map(({ n }) => n));
  return itemsOf(exchange)
    .filter(({ metadata }) => metadata.conform_run === run && !known.has(metadata.conform_n as number))
    .map(({ sandbox_id, metadata }) => ({
      ...{ n: -1, metadata, sessionId: null, hasEnded: false },
      vmId: sandbox_id,
    }));
}
