import { hash } from 'node:crypto';
import type { Config } from '../../../app/config/settings.ts';
import { checkResponse } from '../contract.ts';
import { type Caller, shareApp, type TestApp } from '../server.ts';

export type Answer = {
  status: number;
  headers: Headers;
  bytes: Buffer;
  text: string;
  json: () => { code: number; message: string };
};

/** A sandbox with a machine, and what a client needs to reach it. */
export type Machine = {
  app: TestApp;
  url: string;
  owner: Caller;
  id: string;
  token: string;
  /** The headers that name the sandbox and hold its token. */
  headers: Record<string, string>;
  /**
   * Sends a request with these headers, unless others are given. Checks the response against the
   * contract.
   */
  call: (path: string, init?: RequestInit & { headers?: Record<string, string> }) => Promise<Answer>;
  /** Downloads a file. */
  read: (path: string, headers?: Record<string, string>) => Promise<Answer>;
  /** Uploads a file as `application/octet-stream`. */
  write: (path: string, body: Body, headers?: Record<string, string>) => Promise<Answer>;
};

type Body = NonNullable<RequestInit['body']> | AsyncIterable<Uint8Array>;

let callers = 0;

/**
 * Starts an application whose sandboxes have machines, and one sandbox, for all tests of a
 * `describe`. Read its members only inside tests.
 */
export function useMachine(config: Partial<Config> = {}): Machine {
  const shared = shareApp({ machines: 'process', port: 0, ...config });
  const machine = {} as Machine;
  before(async () => {
    const app = shared();
    const url = await app.server.start();
    Object.assign(machine, { app, url }, await startMachine(app, url));
  });
  return machine;
}

/** Starts another sandbox, of another user. */
export async function startMachine(app: TestApp, url: string, body: object = {}): Promise<Machine> {
  const owner = await app.addUser(`owner-${++callers}`);
  const created = await app.http
    .post('/v2/sandboxes')
    .set('X-API-Key', owner.key)
    .send({ templateID: 'base', ...body });
  if (created.status !== 201) throw new Error(`no sandbox was created: ${created.status} ${created.text}`);
  const { sandboxID: id, envdAccessToken: token } = created.body;
  const named = { 'E2b-Sandbox-Id': id, 'X-Access-Token': token };
  const call: Machine['call'] = (path, { headers = named, ...init } = {}) => ask(url, path, { ...init, headers });
  const read: Machine['read'] = (path, headers = {}) =>
    call(`/files?path=${encodeURIComponent(path)}`, { headers: { ...named, ...headers } });
  const write: Machine['write'] = (path, body, headers = {}) =>
    call(`/files?path=${encodeURIComponent(path)}`, {
      method: 'POST',
      headers: { ...named, 'Content-Type': 'application/octet-stream', ...headers },
      body: body as RequestInit['body'],
      duplex: 'half',
    } as RequestInit & { headers: Record<string, string> });
  return { app, url, owner, id, token, headers: named, call, read, write };
}

async function ask(url: string, path: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(`${url}${path}`, init);
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString();
  const type = response.headers.get('content-type') ?? '';
  checkResponse(init.method ?? 'GET', path, response.status, type, text);
  return { status: response.status, headers: response.headers, bytes, text, json: () => JSON.parse(text) };
}

/** Returns the query of a signed URL, made as E2B's SDKs make it. */
export function signed(
  token: string,
  operation: 'read' | 'write',
  path: string,
  { user = '', expiration }: { user?: string; expiration?: number } = {},
): string {
  const parts = [path, operation, user, token, ...(expiration === undefined ? [] : [expiration])];
  const query = new URLSearchParams({
    path,
    signature: `v1_${hash('sha256', parts.join(':'), 'base64').replace(/=+$/, '')}`,
  });
  if (user !== '') query.set('username', user);
  if (expiration !== undefined) query.set('signature_expiration', String(expiration));
  return query.toString();
}
