import {
  bodyOf,
  type Call,
  calls,
  encoded,
  filled,
  poisoned,
  sampleOf,
  textParameters,
  uuid,
} from './helpers/samples.ts';
import { type Asked, idsOf, type Target, useTarget } from './helpers/target.ts';
import { abuse, counted } from './runner/record.ts';

const payloads = [
  "' OR '1'='1",
  "'; DROP TABLE sandboxes; --",
  "x' UNION SELECT secret_hash FROM api_keys --",
  '" OR ""="',
  "%' OR id LIKE '%",
  '*',
  '_%',
  "'||(SELECT randomblob(1000000000))||'",
  'x\\',
];
const words = { OR: 'always true', DROP: 'a second statement', UNION: 'another table', SELECT: 'a costly one' };

describe('abuse: SQL in every string of every operation', () => {
  const target = useTarget('--login-attempts', '1000000');
  let alice: string;
  let mallory: string;
  before(async () => {
    [alice, mallory] = [await target().addUser('alice'), await target().addUser('mallory')];
    // A day, so that her sandbox does not end by itself between two calls.
    const body = JSON.stringify({ metadata: { hers: 'HERS-AND-NOBODYS' }, vm_lifetime_seconds: 86_400 });
    await target().ask('POST', '/v1/vms', { headers: { 'X-API-Key': alice }, body });
  });

  for (const call of calls) {
    const { method, path, operation } = call;
    if (operation.operationId === 'create_access_token') continue; // a hash of 0.3 s each: below
    const count = payloads.length * placesOf(call, {}).length;
    if (count === 0) continue;
    abuse('SQL', `${method} ${path}: ${count} strings`, 'nothing but refusals and plain text', async () => {
      const places = placesOf(call, await idsOf(target(), mallory));
      const before = contents(target());
      const wrong: string[] = [];
      for (const payload of payloads) {
        for (const place of places) {
          const { status, text } = await target().ask(method, ...place(payload, mallory));
          if (status === 500 || status === 503) wrong.push(`${status} for ${payload}`);
          if (text.includes('HERS')) wrong.push(`somebody else's for ${payload}`);
          if (/sqlite|syntax error|no such (table|column)/i.test(text)) wrong.push(`words of SQL for ${payload}`);
        }
      }
      if (contents(target()) !== before) wrong.push('it changed what is not theirs');
      return wrong.length > 0 ? counted(wrong) : 'nothing but refusals and plain text';
    });
  }

  abuse('SQL', `POST /v1/auth/token: ${Object.values(words).join(', ')}`, '401 x 2', async () => {
    const [always = '', drop = ''] = payloads;
    const statuses = [];
    for (const [username, password] of [
      [always, always],
      [drop, 'x'],
    ] as const) {
      const body = String(new URLSearchParams({ username, password }));
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      statuses.push((await target().ask('POST', '/v1/auth/token', { headers, body })).status);
    }
    return counted(statuses);
  });
});

type Place = (payload: string, key: string) => [path: string, asked: Asked];

/**
 * Returns, for each string of an operation, a function that builds the request with the payload
 * in its place.
 */
function placesOf({ path, operation }: Call, ids: Record<string, string>): Place[] {
  const body = bodyOf(operation);
  const type = body?.type ?? '';
  const plain = (key: string, value: unknown = body && sampleOf(body.schema)): Asked => ({
    headers: { 'X-API-Key': key, ...(body && { 'Content-Type': type }) },
    body: body ? encoded(type, value) : undefined,
  });
  const id = (name: string) => ids[name] ?? uuid;
  const url = filled(path, id);
  const parameters = textParameters(operation).map(({ name, place }): Place => {
    if (place === 'path') return (payload, key) => [filled(path, (n) => (n === name ? payload : id(n))), plain(key)];
    if (place === 'query') return (payload, key) => [`${url}?${name}=${encodeURIComponent(payload)}`, plain(key)];
    return (payload, key) => [url, { ...plain(key), headers: { ...plain(key).headers, [name]: payload } }];
  });
  const members = (body ? poisoned(body.schema, '') : []).map(
    (_, at): Place =>
      (payload, key) => [url, plain(key, poisoned((body as NonNullable<typeof body>).schema, payload)[at])],
  );
  return [...parameters, ...members];
}

/** All rows that do not belong to the attacker. */
function contents({ store }: Target): string {
  const tables = ['users', 'api_keys', 'sandboxes', 'snapshots', 'access_tokens'];
  return JSON.stringify(
    tables.map((table) => {
      const rows = store.sqlite.prepare(`select * from ${table}`).all() as Record<string, unknown>[];
      return rows.filter((row) => row.owner_id !== 3 && row.user_id !== 3).map(({ last_used_at: _, ...row }) => row);
    }),
  );
}
