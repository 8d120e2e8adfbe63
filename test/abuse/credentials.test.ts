import { randomBytes } from 'node:crypto';
import { revokeApiKey } from '../../db/accounts/api-keys.ts';
import { createAccessToken } from '../../db/accounts/principals.ts';
import { cli } from '../../db/events/record.ts';
import { inTransaction } from '../../db/store.ts';
import { median } from '../bench/report/stats.ts';
import { isMeasured } from './helpers/scale.ts';
import { statusesIn, useTarget } from './helpers/target.ts';
import { abuse, figures } from './runner/record.ts';

const path = '/v1/sessions/sandboxes';
const names = ['near', 'far', 'unknown'] as const;

describe('abuse: credentials', () => {
  const target = useTarget();
  let key: string;
  let other: string;
  let token: string;
  let revoked: string;
  let expired: string;
  before(async () => {
    const { addUser, store, secret } = target();
    [key, other, revoked] = [await addUser('alice'), await addUser('bob'), await addUser('carol')];
    await inTransaction(store.db, (trx) => revokeApiKey(trx, Date.now(), cli, revoked));
    const ofAlice = { ...cli, user: { id: 2, name: 'alice' } };
    token = secret(await inTransaction(store.db, (trx) => createAccessToken(trx, Date.now(), ofAlice, 3600)));
    const before = Date.now() - 3_600_000;
    expired = secret(await inTransaction(store.db, (trx) => createAccessToken(trx, before, ofAlice, 3600)));
  });

  const with_ = (headers: string) => async () =>
    statusesIn(
      await target().say(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n\r\n`)),
    );
  const changed = (secret: string, at: number) =>
    target().secret(secret.slice(0, at) + (secret[at] === '0' ? '1' : '0') + secret.slice(at + 1));
  /** The name of a kind of credential, and a function that returns its headers during a test. */
  const forms: [string, () => string, string][] = [
    ['none', () => 'X-None: 1', '401'],
    ['an empty key', () => 'X-API-Key:', '401'],
    ['a key of spaces', () => 'X-API-Key:    ', '401'],
    ['Bearer and nothing', () => 'Authorization: Bearer', '401'],
    ['Bearer and a space', () => 'Authorization: Bearer ', '401'],
    ['Basic with the key', () => `Authorization: Basic ${key}`, '401'],
    ['Token with the key', () => `Authorization: Token ${key}`, '401'],
    ['the key without a scheme', () => `Authorization: ${key}`, '401'],
    ['Bearer with two spaces, as FastAPI takes it', () => `Authorization: Bearer  ${key}`, '200'],
    ['the key in quotes', () => `Authorization: Bearer "${key}"`, '401'],
    ['the key twice in one header', () => `Authorization: Bearer ${key}, Bearer ${key}`, '401'],
    ['the key in two headers: the first counts', () => `X-API-Key: ${key}\r\nX-API-Key: x`, '200'],
    ['the key in the second of two headers', () => `X-API-Key: x\r\nX-API-Key: ${key}`, '401'],
    ['a wrong Authorization before the right one', () => `Authorization: x\r\nAuthorization: Bearer ${key}`, '401'],
    ['the key with a digit more', () => `X-API-Key: ${target().secret(`${key}0`)}`, '401'],
    ['the key with a digit less', () => `X-API-Key: ${key.slice(0, -1)}`, '401'],
    ['the key with its first digit changed', () => `X-API-Key: ${changed(key, 4)}`, '401'],
    ['the key with its last digit changed', () => `X-API-Key: ${changed(key, 43)}`, '401'],
    ['the key in capitals', () => `X-API-Key: ${key.toUpperCase()}`, '401'],
    ["the other's prefix and the own end", () => `X-API-Key: ${other.slice(0, 16)}${key.slice(16)}`, '401'],
    ['a prefix alone', () => `X-API-Key: ${key.slice(0, 16)}`, '401'],
    ['the key as an access token', () => `Authorization: Bearer spt_${key.slice(4)}`, '401'],
    ['the access token as a key', () => `X-API-Key: ${token}`, '401'],
    ['the access token with its last digit changed', () => `Authorization: Bearer ${changed(token, 67)}`, '401'],
    ['full-width digits', () => `X-API-Key: e2b_${'\uff10'.repeat(40)}`, '401'],
    ['a zero-width space in the key', () => `X-API-Key: ${key.slice(0, 20)}\u200b${key.slice(20)}`, '401'],
    ['a key of 100 KB', () => `X-API-Key: e2b_${'0'.repeat(100_000)}`, '401'],
    ['a token of 100 KB', () => `Authorization: Bearer ${'x'.repeat(100_000)}`, '401'],
    ['SQL', () => "X-API-Key: ' or '1'='1", '401'],
    ['a wildcard', () => 'X-API-Key: e2b_%', '401'],
    ['a revoked key', () => `X-API-Key: ${revoked}`, '401'],
    ['an expired token', () => `Authorization: Bearer ${expired}`, '401'],
    ['the key in a cookie', () => `Cookie: X-API-Key=${key}`, '401'],
    ['a revoked key and an expired token', () => `X-API-Key: ${revoked}\r\nAuthorization: Bearer ${expired}`, '401'],
    ['a wrong token and a right key', () => `Authorization: Bearer nonsense\r\nX-API-Key: ${key}`, '200'],
    ['a right token and a wrong key', () => `Authorization: Bearer ${token}\r\nX-API-Key: nonsense`, '200'],
    ['the right key', () => `X-API-Key: ${key}`, '200'],
    ['the right token', () => `Authorization: Bearer ${token}`, '200'],
  ];
  for (const [sent, headers, expected] of forms) {
    abuse('credential', sent, expected, () => with_(headers())());
  }

  abuse('credential', "alice's token and bob's key: whose list is it", "the token's", async () => {
    const { vm_id } = JSON.parse((await target().ask('POST', '/v1/vms', { headers: { 'X-API-Key': key } })).text);
    const headers = { Authorization: `Bearer ${token}`, 'X-API-Key': other };
    const { text } = await target().ask('GET', path, { headers });
    return text.includes(vm_id) ? "the token's" : "the key's";
  });

  abuse('credential', 'the key in the query and in the body', '401 x 2', async () => {
    const { status } = await target().ask('GET', `${path}?api_key=${key}&access_token=${key}`);
    const body = await target().ask('POST', '/v1/vms', { body: JSON.stringify({ api_key: key, access_token: key }) });
    return `${status}` === '401' && body.status === 401 ? '401 x 2' : `${status}, ${body.status}`;
  });

  if (isMeasured) {
    it('measures the time of near and far misses', async () => {
      const hex = (length: number) => randomBytes(length / 2).toString('hex');
      const kinds = {
        near: () => changed(key, 43),
        far: () => key.slice(0, 16) + hex(28),
        unknown: () => `e2b_${hex(40)}`,
      };
      const times: Times = { near: [], far: [], unknown: [] };
      for (let round = 0; round < 5000; round++) {
        // Take turns, so that other load on the machine affects all alike.
        for (const name of round % 2 ? names : names.toReversed()) {
          const headers = { 'X-API-Key': kinds[name]() };
          const start = performance.now();
          await target().ask('GET', path, { headers });
          if (round >= 1000) times[name].push((performance.now() - start) * 1000);
        }
      }
      figures.push(timingText(times));
    });
  }
});

type Times = Record<(typeof names)[number], number[]>;

function timingText({ near, far, unknown }: Times): string {
  const of = (what: string, times: number[]) => `${what} ${median(times).toFixed(1)}`;
  const medians = [of('all but the last digit right', near), of('the prefix right', far), of('nothing right', unknown)];
  return (
    `timing of key checks, ${near.length} requests each, medians in microseconds: ${medians.join('; ')}. Differences of ` +
    `the means without the slowest tenth, with two standard errors: last digit wrong against prefix right ` +
    `${differenceOf(near, far)}; prefix right against nothing right ${differenceOf(far, unknown)}. A prefix is no secret; ` +
    'what follows it is compared as a hash, in constant time.'
  );
}

function differenceOf(a: number[], b: number[]): string {
  const [these, those] = [withoutSlowest(a), withoutSlowest(b)];
  const error = Math.sqrt(varianceOf(these) / these.length + varianceOf(those) / those.length);
  return `${(meanOf(these) - meanOf(those)).toFixed(1)} +- ${(2 * error).toFixed(1)}`;
}

function withoutSlowest(times: number[]): number[] {
  return times.toSorted((a, b) => a - b).slice(0, Math.floor(times.length * 0.9));
}

function meanOf(times: number[]): number {
  return times.reduce((sum, time) => sum + time, 0) / times.length;
}

function varianceOf(times: number[]): number {
  const mean = meanOf(times);
  return meanOf(times.map((time) => (time - mean) ** 2));
}
