import { isObject, type Json, type JsonObject, parseJson } from '../../../db/json/json.ts';
import { type Client, Unreachable } from '../http/client.ts';
import { answered, type Exchange, quoted } from '../http/exchange.ts';
import { endEach, endOne, findUnnamed } from './cleanup.ts';
import type { MakerOptions, OwnSandbox } from './sandbox.ts';

export type Maker = {
  made: OwnSandbox[];
  /** Why the server refused to make some sandboxes. */
  refusals: string[];
  /**
   * Makes a sandbox with this metadata, JSON text. Resolves to null, and adds a refusal, if the
   * server refuses.
   */
  make: (document: string) => Promise<OwnSandbox | null>;
  /** Ends a sandbox. Throws an Error that says why it can't. */
  end: (sandbox: OwnSandbox) => Promise<Exchange>;
  /**
   * Ends all sandboxes, including those whose creation got no answer. Returns the failures, each
   * with its reason.
   */
  endAll: () => Promise<string[]>;
};

/**
 * Returns a maker. It uses `POST /v1/vms`, or `POST /v1/sessions/session` on a server that refuses
 * that.
 */
export function createMaker(client: Client, options: MakerOptions): Maker {
  const { run } = options;
  const made: OwnSandbox[] = [];
  const refusals: string[] = [];
  /** The operation that worked. */
  let operation: Operation | undefined;
  let attempts = 0;
  /** Sandboxes that were made, or may have been, without an answer that names them. */
  let unnamed = 0;
  let hadServerError = false;

  /** Returns the sandbox, or the refusal. */
  const attempt = async (candidate: Operation, document: string): Promise<OwnSandbox | string> => {
    const n = attempts++;
    const text = `{${runMember(run)},"conform_n":${n}${restOf(document)}}`;
    const exchange = await candidate(client, options, text).catch((error) => {
      if (error instanceof Unreachable) unnamed++;
      throw error;
    });
    const isMade = exchange.status < 300;
    const ids = isMade ? idsIn(exchange) : null;
    if (ids) return { n, metadata: parseJson(text) as JsonObject, ...ids, hasEnded: false };
    if (isMade) unnamed++;
    if (exchange.status >= 500) hadServerError = true;
    return `${answered(exchange)}${isMade ? ' without vm_id, sandbox_id or session_id' : ''}`;
  };

  const make: Maker['make'] = async (document) => {
    const failed: string[] = [];
    for (const candidate of operation ? [operation] : candidatesFor(options)) {
      const unnamedBefore = unnamed;
      const result = await attempt(candidate, document);
      if (typeof result !== 'string') {
        operation = candidate;
        made.push(result);
        return result;
      }
      failed.push(result);
      // The sandbox exists; another operation would make a second one.
      if (unnamed > unnamedBefore) break;
    }
    refusals.push(failed.join(', '));
    return null;
  };
  const endAll = async () => {
    const lost = unnamed > 0 || hadServerError ? await findUnnamed(client, options, made, unnamed) : [];
    return [...lost, ...(await endEach(client, made))];
  };
  return { made, refusals, make, end: (sandbox) => endOne(client, sandbox), endAll };
}

/** Returns the member, JSON text, that marks the metadata of all sandboxes of a run. */
export function runMember(run: string): string {
  return `"conform_run":${JSON.stringify(run)}`;
}

function restOf(document: string): string {
  const members = document.trim().slice(1, -1).trim();
  return members === '' ? '' : `,${members}`;
}

/** Sends the request that makes a sandbox with this metadata, JSON text. */
type Operation = (client: Client, options: MakerOptions, metadata: string) => Promise<Exchange>;

function candidatesFor({ apiKey }: MakerOptions): Operation[] {
  return apiKey === undefined ? [createVm] : [createVm, createSession];
}

const createVm: Operation = (client, { lifetimeSeconds, template }, metadata) => {
  const from = template === undefined ? '' : `,"snapshot_id":${JSON.stringify(template)}`;
  const body = `{"vm_lifetime_seconds":${lifetimeSeconds},"metadata":${metadata}${from}}`;
  return client.send('POST', '/v1/vms', { body });
};

const createSession: Operation = (client, { apiKey, lifetimeSeconds }, metadata) => {
  const members = `"vm_lifetime_seconds":${lifetimeSeconds},"metadata":${metadata}}`;
  const body = `{"api_key":${JSON.stringify(apiKey)},${members}`;
  const shownBody = `'{"api_key":"'"$API_KEY"'",'${quoted(members)}`;
  return client.send('POST', '/v1/sessions/session', { body, shownBody, credentials: [] });
};

function idsIn({ body }: Exchange): Pick<OwnSandbox, 'vmId' | 'sessionId'> | null {
  const answer = parseOrNull(body);
  if (!isObject(answer)) return null;
  const text = (value: Json | undefined) => (typeof value === 'string' ? value : null);
  const ids = { vmId: text(answer.vm_id) ?? text(answer.sandbox_id), sessionId: text(answer.session_id) };
  return ids.vmId === null && ids.sessionId === null ? null : ids;
}

function parseOrNull(text: string): Json {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
