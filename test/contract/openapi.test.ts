import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { middleware } from 'express-openapi-validator';
import { parse } from 'yaml';
import { createTestMode } from '../../app/api/test-mode/mode.ts';
import { contractText, parametersOf, type Schema } from '../../spec/load.ts';
import { contract, operations } from '../helpers/contract.ts';
import { seed } from '../helpers/seed.ts';
import { itHere, startApp, startTime, type TestApp } from '../helpers/server.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Returns a schema with every reference resolved, which is the form that the seed prints. */
function inlined(value: Json): Json {
  if (Array.isArray(value)) return value.map(inlined);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$ref === 'string') {
    const name = value.$ref.replace('#/components/schemas/', '');
    return inlined(contract.components.schemas[name] as Json);
  }
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, inlined(member)]));
}

async function servedContract({ http }: TestApp) {
  const yaml = await http
    .get('/openapi.yaml')
    .buffer(true)
    .parse((res, done) => void text(res as never).then((body) => done(null, body)));
  return { yaml: yaml.body as string, json: (await http.get('/openapi.json')).body };
}

describe('openapi.yaml', () => {
  describe("the seed's operation", () => {
    const operation = contract.paths[seed.path]?.[seed.method] as NonNullable<(typeof operations)[0]['operation']> &
      Record<string, unknown>;

    it('is unchanged: summary, description and security', () => {
      const { summary, description, security } = operation;
      expect({ summary, description, security }).to.deep.equal({
        summary: seed.summary,
        description: seed.description,
        security: seed.security,
      });
    });

    it('has its three parameters with their types, bounds and descriptions', () => {
      const parameters = parametersOf(contract, operation).map((parameter) => {
        const {
          name,
          in: place,
          required,
          description,
          schema,
        } = parameter as typeof parameter & Record<string, unknown>;
        const { minimum, maximum, default: preset } = schema as Schema & { default?: number };
        const constraints = minimum === undefined ? {} : { default: preset, minimum, maximum };
        const types = schema.anyOf?.map(({ type }) => type) ?? [schema.type];
        return { name, in: place, types, required, description, constraints };
      });
      expect(parameters).to.deep.equal(seed.parameters);
    });

    for (const [status, { description, schema }] of Object.entries(seed.responses)) {
      it(`declares ${status} with the seed's schema, titles included`, () => {
        const response = operation.responses[status] as {
          description: string;
          content: Record<string, { schema: Json }>;
        };
        expect(response.description).to.equal(description);
        expect(Object.keys(response.content)).to.deep.equal(['application/json']);
        expect(inlined(response.content['application/json']?.schema ?? null)).to.deep.equal(schema);
      });
    }
  });

  it('is a valid OpenAPI 3.1 document', async () => {
    // The validator's copy of the schema requires an absolute URL here. FastAPI's documents and
    // ours have a relative one.
    const text = contractText.replace('tokenUrl: /v1', 'tokenUrl: http://localhost/v1');
    const [first] = middleware({ apiSpec: parse(text), validateApiSpec: true });
    const error = await new Promise((resolve) => first?.({ app: { param: () => {} } } as never, {} as never, resolve));
    expect(error).to.equal(undefined);
  });

  it('has the version of the package', () => {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(contract.info.version).to.equal(manifest.version);
  });

  it('gives query parameters of the same name the same integer type', () => {
    const types = new Map<string, unknown>();
    for (const { operation } of operations) {
      for (const { name, in: place, schema } of parametersOf(contract, operation)) {
        if (place !== 'query') continue;
        expect(types.get(name) ?? schema.type, name).to.equal(schema.type);
        types.set(name, schema.type);
      }
    }
  });

  itHere('is served unchanged by a test server, as YAML and as JSON', async () => {
    const test = createTestMode(() => startTime, startTime);
    const served = await servedContract(await startApp({}, { test }));
    expect(served.yaml).to.equal(contractText);
    expect(served.json).to.deep.equal(parse(contractText));
  });

  it('is served without the test operations by an ordinary server', async () => {
    const { yaml, json } = await servedContract(await startApp());
    expect(yaml).not.to.match(/_test\/|name: test$/m);
    expect(parse(yaml)).to.deep.equal(json);
    const { paths, tags, ...rest } = parse(contractText);
    const others = Object.entries(paths).filter(([path]) => !path.startsWith('/_test/'));
    expect(json).to.deep.equal({
      ...rest,
      paths: Object.fromEntries(others),
      tags: tags.filter(({ name }: { name: string }) => name !== 'test'),
    });
  });
});

describe('GET /docs', () => {
  it('loads every part from this server', async () => {
    const { http } = await startApp();
    const page = await http.get('/docs');
    expect(page.headers['content-type']).to.match(/^text\/html/);
    // Relative URLs only, because a proxy may add a path prefix.
    expect(page.text).not.to.match(/https?:|\/\/|(src|href)="\//);
    const parts = [...page.text.matchAll(/(?:src|href)="(docs[^"]+)"/g)].map(([, url]) => `/${url}`);
    expect(parts).to.have.length(3);
    for (const url of parts) expect((await http.get(url)).status, url).to.equal(200);
    const script = await http.get('/docs/start.js');
    expect(script.text)
      .to.contain("fetch('openapi.json')")
      .and.not.to.match(/'\/|"\//);
    const policy = page.headers['content-security-policy'];
    for (const name of ['default-src', 'frame-ancestors', 'base-uri', 'form-action']) {
      expect(policy).to.contain(`${name} 'none'`);
    }
  });

  it('is where /docs/ redirects to, by a relative URL', async () => {
    const { http } = await startApp();
    const answer = await http.get('/docs/').set('Accept', 'text/html,*/*;q=0.8');
    expect([answer.status, answer.headers.location]).to.deep.equal([302, '../docs']);
    expect((await http.get('/')).status).to.equal(302);
    const json = await http.get('/').set('Accept', 'application/json');
    expect([json.status, json.body]).to.deep.equal([404, { detail: 'Not Found' }]);
    for (const path of ['/docs/x', '/docs//', '/docs/start.js/'])
      expect((await http.get(path)).status, path).to.equal(404);
  });
});
