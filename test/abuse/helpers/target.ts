import { once } from 'node:events';
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { expect } from 'chai';
import { createApiKey } from '../../../db/accounts/api-keys.ts';
import { hashPassword } from '../../../db/accounts/passwords.ts';
import { createUser } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { openStore, type SqliteStore } from '../../../db/sqlite/open.ts';
import { inTransaction } from '../../../db/store.ts';
import { checkResponse } from '../../helpers/contract.ts';
import { type Serving, serve } from '../../helpers/processes/process.ts';
import { cheap, temporaryDirectory } from '../../helpers/server.ts';

export type Answer = { status: number; headers: IncomingHttpHeaders; text: string };
export type Asked = { headers?: Record<string, string>; body?: string | Buffer | undefined };

/** A server in a process of its own, and direct access to its database. */
export type Target = {
  serving: Serving;
  port: number;
  store: SqliteStore;
  /** Returns the key of a new user. */
  addUser: (name: string, password?: string) => Promise<string>;
  /** Registers a secret that must never appear in the log. Returns the secret. */
  secret: (text: string) => string;
  /** Sends a request, with the path unchanged, and checks the response against the contract. */
  ask: (method: string, path: string, asked?: Asked) => Promise<Answer>;
  /** Sends bytes on a new connection. Returns everything received until the server closes it. */
  say: (bytes: string | Buffer) => Promise<string>;
};

/**
 * Starts one server for all tests of a `describe`. Returns a function that returns it during a
 * test. After the tests, the server is stopped and its output is searched for every secret that
 * they used.
 */
export function useTarget(...flags: string[]): () => Target {
  let target: Target;
  const secrets = new Set<string>();
  const agent = new Agent({ keepAlive: true });
  before(async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    const first = `e2b_${'a'.repeat(40)}`;
    secrets.add(first);
    const serving = await serve(['--db', db, '--webhook-allow', '127.0.0.0/8', ...flags], {
      env: { SANDPIT_API_KEY: first },
    });
    target = attack(serving, openStore(db), secrets, agent);
  });
  after(async () => {
    agent.destroy();
    await target.store.close();
    await target.serving.stop();
    const { stdout, stderr } = target.serving.output;
    for (const secret of secrets) expect(stdout + stderr, 'the log').not.to.contain(secret);
    expect(stdout, 'a failure that nobody foresaw').not.to.contain('"level":50');
  });
  return () => target;
}

function attack(serving: Serving, store: SqliteStore, secrets: Set<string>, agent: Agent): Target {
  const port = Number(new URL(serving.url).port);
  const secret = (text: string) => {
    if (text.length >= 8) secrets.add(text);
    return text;
  };
  return {
    serving,
    port,
    store,
    secret,
    addUser: async (name, password) => {
      const hash = password === undefined ? null : await hashPassword(secret(password), cheap);
      return inTransaction(store.db, async (trx) => {
        const { id } = await createUser(trx, Date.now(), cli, name, hash);
        return secret(await createApiKey(trx, Date.now(), { ...cli, ownerId: id }, 'test'));
      });
    },
    ask: async (method, path, asked = {}) => {
      const answer = await send(agent, port, method, path, asked);
      checkResponse(method, path, answer.status, String(answer.headers['content-type'] ?? ''), answer.text);
      return answer;
    },
    say: (bytes) => {
      const socket = connect(port, '127.0.0.1');
      // A request whose connection was closed counts as answered.
      socket.on('error', () => {});
      socket.write(bytes);
      return readText(socket).catch(() => '');
    },
  };
}

function send(agent: Agent, port: number, method: string, path: string, { headers = {}, body }: Asked) {
  return new Promise<Answer>((resolve, reject) => {
    const type = body !== undefined && { 'Content-Type': 'application/json' };
    const length = body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) };
    const req = request({ agent, port, host: '127.0.0.1', method, path, headers: { ...type, ...length, ...headers } });
    req.on('error', reject).on('response', (res) => {
      bodyOf(res).then((text) => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }), reject);
    });
    req.end(body);
  });
}

/** Returns the body, or the beginning of an endless stream. */
async function bodyOf(res: IncomingMessage): Promise<string> {
  if (!res.headers['content-type']?.startsWith('text/event-stream')) return readText(res);
  const [first] = await once(res, 'data');
  res.destroy();
  return String(first);
}

/** Returns the statuses of the received responses, or `closed` if there are none. */
export function statusesIn(said: string): string {
  const statuses = [...said.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => status);
  return statuses.join(', ') || 'closed';
}

const publicKey = `ssh-ed25519 ${Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('ssh-ed25519'),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32),
]).toString('base64')} me`;

/**
 * Creates one of each thing that has an id, as the owner of the key. Returns the ids by path
 * parameter.
 */
export async function idsOf({ ask, secret }: Target, key: string): Promise<Record<string, string>> {
  const post = async (path: string, body: object) =>
    JSON.parse((await ask('POST', path, { headers: { 'X-API-Key': key }, body: JSON.stringify(body) })).text);
  const { vm_id, session_id } = await post('/v1/vms', { metadata: { of: 'alice' }, vm_lifetime_seconds: 86_400 });
  const { snapshot_id } = await post(`/v1/vms/${vm_id}/snapshot`, {});
  const sshKey = await post('/v1/ssh-keys', { public_key: publicKey });
  const made = await post('/v1/api-keys/', {});
  secret(made.api_key);
  // The limit of endpoints for each owner.
  const headers = { 'X-API-Key': key };
  for (const { id } of JSON.parse((await ask('GET', '/v1/webhooks/endpoints', { headers })).text)) {
    await ask('DELETE', `/v1/webhooks/endpoints/${id}`, { headers });
  }
  for (const { id } of JSON.parse((await ask('GET', '/events/webhooks', { headers })).text)) {
    await ask('DELETE', `/events/webhooks/${id}`, { headers });
  }
  const webhook = await post('/events/webhooks', {
    name: 'of alice',
    url: 'http://127.0.0.1:9/',
    enabled: true,
    events: ['sandbox.lifecycle.killed'],
    signatureSecret: secret('s'.repeat(32)),
  });
  const endpoint = await post('/v1/webhooks/endpoints', { url: 'http://127.0.0.1:9/', event_patterns: ['vm.deleted'] });
  secret(endpoint.secret);
  const delivery = await post(`/v1/webhooks/endpoints/${endpoint.id}/test`, {});
  const { events } = JSON.parse((await ask('GET', '/v1/audit/events?limit=1', { headers })).text);
  return {
    vm_id,
    sandboxID: vm_id,
    session_id,
    snapshot_id,
    templateID: snapshot_id,
    alias: snapshot_id,
    item_id: String(made.id),
    endpoint_id: endpoint.id,
    webhookID: webhook.id,
    key_id: String(sshKey.id),
    delivery_id: delivery.id,
    event_id: events[0].event_id,
  };
}
