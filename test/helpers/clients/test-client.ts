import { checkResponse } from '../contract.ts';
import { serveTest, type TestServer } from '../processes/process.ts';

export type Answer = { status: number; headers: Headers; text: string; json: () => never };

/** A test server and a client whose responses are checked against the contract. */
export type TestClient = {
  server: TestServer;
  /** Sends a request, as the first user by default. A body that is not a string is sent as JSON. */
  call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  /** Sends a request without checking the response against the contract. */
  callSpoilt: TestClient['call'];
  /** Sends a control request. Without headers it has no credential and applies to all users. */
  steer: (what: string, body?: unknown, headers?: Record<string, string>) => Promise<never>;
  /** Starts a sandbox; returns its id. */
  create: (body?: object) => Promise<string>;
  /** Returns the ids and statuses of the list. */
  list: (headers?: Record<string, string>) => Promise<string[]>;
};

export async function startTestClient(args: string[] = []): Promise<TestClient> {
  const server = await serveTest(args);
  const callSpoilt: TestClient['call'] = async (method, path, body, headers = { 'X-API-Key': server.apiKey }) => {
    const type = typeof body === 'object' ? { 'Content-Type': 'application/json' } : {};
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
    const response = await fetch(`${server.url}${path}`, { method, headers: { ...type, ...headers }, ...sent });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as never };
  };
  const call: TestClient['call'] = async (method, path, body, headers) => {
    const answer = await callSpoilt(method, path, body, headers);
    checkResponse(method, path, answer.status, answer.headers.get('content-type') ?? '', answer.text);
    return answer;
  };
  return {
    server,
    call,
    callSpoilt,
    steer: async (what, body, headers = {}) => (await call('POST', `/_test/${what}`, body, headers)).json(),
    create: async (body = {}) => ((await call('POST', '/v1/vms', body)).json() as { vm_id: string }).vm_id,
    list: async (headers) => {
      const rows: { sandbox_id: string; status: string }[] = (await call('GET', listPath, undefined, headers)).json();
      return rows.map(({ sandbox_id: id, status }) => `${id} ${status}`);
    },
  };
}

export const listPath = '/v1/sessions/sandboxes';
