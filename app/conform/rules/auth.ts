import { randomBytes } from 'node:crypto';
import { Failure, Skip } from '../failure.ts';
import { apiKeyCredential, bearerCredential, type Credential, type Exchange } from '../http/exchange.ts';
import type { Rule } from '../rule.ts';
import type { Suite } from '../suite.ts';
import { expectRefused, expectStatus } from './expect.ts';

const protectedBy = { page: 'security: - OAuth2PasswordBearer: []' };
const invalid = { contract: 'No valid credential' };

export const auth: Rule[] = [
  {
    id: 'api-key',
    title: 'an API key in X-API-Key is accepted',
    source: { page: '- name: X-API-Key in: header required: false' },
    run: async ({ client, options: { apiKey } }) => {
      if (apiKey === undefined) throw new Skip('no --api-key is given');
      expectStatus(
        await client.list({}, [apiKeyCredential(apiKey)]),
        200,
        'the API key is valid, unless --api-key is mistyped',
      );
    },
  },
  {
    id: 'bearer',
    title: 'a token in Authorization: Bearer is accepted',
    source: protectedBy,
    run: async ({ client, options: { bearer } }) => {
      if (bearer === undefined) throw new Skip('no --bearer is given');
      expectStatus(
        await client.list({}, [bearerCredential(bearer)]),
        200,
        'the token is valid, unless --bearer is mistyped',
      );
    },
  },
  {
    id: 'credential-needed',
    title: 'a request without a credential is refused',
    source: protectedBy,
    run: async ({ client }) => expectRefused(await client.list({}, []), 'there is no credential'),
  },
  {
    id: 'unauthorized-without-credential',
    title: 'a request without a credential is answered 401',
    source: invalid,
    run: async ({ client }) => expectUnauthorized(await client.list({}, []), 'there is no credential'),
  },
  {
    id: 'unauthorized-wrong-key',
    title: 'a wrong API key is answered 401',
    source: invalid,
    run: async ({ client, options }) => {
      for (const credential of wrongKeys(options))
        expectUnauthorized(await client.list({}, [credential]), 'the API key is wrong');
    },
  },
  {
    id: 'unauthorized-wrong-bearer',
    title: 'a wrong token is answered 401',
    source: invalid,
    run: async ({ client }) => {
      const token = randomBytes(20).toString('hex');
      for (const wrong of [
        bearerCredential(token, token),
        { ...basic, value: `Basic ${token}`, shown: `Basic ${token}` },
      ])
        expectUnauthorized(await client.list({}, [wrong]), 'the token is wrong');
    },
  },
  {
    id: 'unauthorized-challenge',
    title: 'a 401 carries WWW-Authenticate: Bearer',
    source: { contract: 'Always `Bearer`' },
    run: async ({ client }) => {
      const exchange = await client.list({}, []);
      if (!/^Bearer\b/i.test(exchange.challenge ?? ''))
        throw new Failure(exchange, 'the header WWW-Authenticate: Bearer');
    },
  },
  {
    id: 'unauthorized-first',
    title: 'a request without a credential is answered 401, even if its parameters are wrong',
    source: { reading: 'the credential is checked before the parameters' },
    run: async ({ client }) => {
      for (const query of [{ limit: '0' }, { limit: 'abc' }, { metadata: '{' }] as Record<string, string>[])
        expectUnauthorized(await client.list(query, []), 'there is no credential, whatever the parameters are');
    },
  },
];

const basic = { header: 'Authorization' };

function expectUnauthorized(exchange: Exchange, why: string): void {
  expectStatus(exchange, 401, why);
}

/** Returns an unknown key, a key that only starts like the right one, and an empty one. */
function wrongKeys({ apiKey }: Suite['options']): Credential[] {
  const unknown = `e2b_${randomBytes(20).toString('hex')}`;
  const longer = apiKey === undefined ? [] : [apiKeyCredential(`${apiKey}0`, '$' + '{API_KEY}0')];
  return [apiKeyCredential(unknown, unknown), ...longer, apiKeyCredential('', '')];
}
