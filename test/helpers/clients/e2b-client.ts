import { expect } from 'chai';
import { apiKey, type Caller, shareApp, startTime, type TestApp } from '../server.ts';

/** Returns a client that makes E2B's calls for a caller. */
export function e2bOf(app: TestApp, caller: Caller) {
  // Read at each call: useE2b puts other callers in the same object.
  const key = () => apiKey(caller);
  const get = (path: string) => app.http.get(path).set(key());
  const post = (path: string, body?: object) => app.http.post(path).set(key()).send(body);
  return {
    get,
    post,
    put: (path: string, body?: object) => app.http.put(path).set(key()).send(body),
    remove: (path: string) => app.http.delete(path).set(key()),
    /** Creates a sandbox that lives for 300 seconds by default. Returns its id. */
    create: async (body: object = {}): Promise<string> =>
      (await post('/v2/sandboxes', { templateID: 'base', ...body })).body.sandboxID,
    read: async (id: string) => (await get(`/sandboxes/${id}`)).body,
    /** Performs an action. Returns the status of the response. */
    does: async (id: string, action: string, body?: object) => (await post(`/sandboxes/${id}/${action}`, body)).status,
    list: (query = '') => get(`/v2/sandboxes?${query}`),
    /** Returns the ids that the older path lists. */
    running: async (query = ''): Promise<string[]> => idsOf((await get(`/sandboxes?${query}`)).body),
    /** Asserts that a query is refused with 400 and this message. */
    refused: async (query: string, message: string | RegExp, path = '/v2/sandboxes'): Promise<void> => {
      const { status, body } = await get(`${path}?${query}`);
      expect([status, body.code], query).to.deep.equal([400, 400]);
      expect(body.message, query).to.match(typeof message === 'string' ? new RegExp(`^${message}$`) : message);
    },
    listed: async (query = ''): Promise<string[]> => idsOf((await get(`/v2/sandboxes?${query}`)).body),
  };
}

export type E2b = ReturnType<typeof e2bOf>;

let callers = 0;

/**
 * Starts one application for all tests of a `describe`, and returns it with two callers and their
 * clients. The callers are new for each test: these objects are filled before each test, so read
 * their members only inside tests.
 */
export function useE2b() {
  const shared = shareApp();
  const app = {} as TestApp;
  const alice = {} as Caller;
  const bob = {} as Caller;
  beforeEach(async () => {
    Object.assign(app, shared());
    Object.assign(alice, await app.addUser(`alice-${++callers}`));
    Object.assign(bob, await app.addUser(`bob-${callers}`));
  });
  return { app, alice, bob, e2b: e2bOf(app, alice), bobs: e2bOf(app, bob) };
}

export function idsOf(sandboxes: { sandboxID: string }[]): string[] {
  return sandboxes.map(({ sandboxID }) => sandboxID);
}

/** The body of a 404 for a sandbox that the caller does not own. */
export function unknown(id: string) {
  return { code: 404, message: `Sandbox "${id}" doesn't exist or you don't have access to it` };
}

export const anyId = `i${'0'.repeat(20)}`;

/** Returns the time `seconds` after the clock's start. */
export function timeAt(seconds: number): string {
  return new Date(startTime + seconds * 1000).toISOString();
}

/** Returns a query's `metadata` the way E2B's clients encode it. */
export function metadataQuery(pairs: Record<string, string>): string {
  const encoded = Object.entries(pairs).map((pair) => pair.map(encodeURIComponent) as [string, string]);
  return `metadata=${encodeURIComponent(new URLSearchParams(encoded).toString())}`;
}
