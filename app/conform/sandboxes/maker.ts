import { isObject, type Json, type JsonObject, parseJson } from '../../../db/json/json.ts';
import { type Client, Unreachable } from '../http/client.ts';
import { answered, type Exchange, quoted } from '../http/exchange.ts';
import { endEach, endOne, findUnnamed } from './cleanup.ts';
import type { MakerOptions, OwnSandbox } from './sandbox.ts';

/**
 * Makes sandboxes through `POST /v1/vms`, or through `POST /v1/sessions/session` on a server that
 * refuses that, and ends them.
 */
export class Maker {
  readonly made: OwnSandbox[] = [];
  /** Why the server refused to make some sandboxes. */
  readonly refusals: string[] = [];
  readonly #client: Client;
  readonly #options: MakerOptions;
  /** The operations to try; once one has worked, that one only. */
  #operations: Operation[];
  #attempts = 0;
  /** Sandboxes that were made, or may have been, without an answer that names them. */
  #unnamed = 0;
  #hadServerError = false;

  constructor(client: Client, options: MakerOptions) {
    this.#client = client;
    this.#options = options;
    this.#operations = options.apiKey === undefined ? [createVm] : [createVm, createSession];
  }

  /**
   * Makes a sandbox with this metadata, JSON text. Resolves to null, and adds a refusal, if the
   * server refuses.
   */
  async make(document: string): Promise<OwnSandbox | null> {
    const failed: string[] = [];
    for (const operation of this.#operations) {
      const unnamedBefore = this.#unnamed;
      const result = await this.#attempt(operation, document);
      if (typeof result !== 'string') {
        this.#operations = [operation];
        this.made.push(result);
        return result;
      }
      failed.push(result);
      // The sandbox exists; another operation would make a second one.
      if (this.#unnamed > unnamedBefore) break;
    }
    this.refusals.push(failed.join(', '));
    return null;
  }

  /** Ends a sandbox. Throws an Error that says why it can't. */
  end(sandbox: OwnSandbox): Promise<Exchange> {
    return endOne(this.#client, sandbox);
  }

  /**
   * Ends all sandboxes, including those whose creation got no answer. Returns the failures, each
   * with its reason.
   */
  async endAll(): Promise<string[]> {
    const mayMiss = this.#unnamed > 0 || this.#hadServerError;
    const lost = mayMiss ? await findUnnamed(this.#client, this.#options, this.made, this.#unnamed) : [];
    return [...lost, ...(await endEach(this.#client, this.made))];
  }

  /** Returns the sandbox, or the refusal. */
  async #attempt(operation: Operation, document: string): Promise<OwnSandbox | string> {
    const n = this.#attempts++;
    const text = `{${runMember(this.#options.run)},"conform_n":${n}${restOf(document)}}`;
    const exchange = await operation(this.#client, this.#options, text).catch((error) => {
      if (error instanceof Unreachable) this.#unnamed++;
      throw error;
    });
    const isMade = exchange.status < 300;
    const ids = isMade ? idsIn(exchange) : null;
    if (ids) return { n, metadata: parseJson(text) as JsonObject, ...ids, hasEnded: false };
    if (isMade) this.#unnamed++;
    if (exchange.status >= 500) this.#hadServerError = true;
    return `${answered(exchange)}${isMade ? ' without vm_id, sandbox_id or session_id' : ''}`;
  }
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
