import { expect } from 'chai';
import { apiKeyCredential, bearerCredential, curlLine } from '../../app/conform/http/exchange.ts';
import { junitXml } from '../../app/conform/report/junit.ts';
import { rules } from '../../app/conform/rules/all.ts';
import { isRevealing } from '../../app/conform/rules/filter.ts';
import { filterCases } from '../../app/conform/rules/filter-cases.ts';
import { documents } from '../../app/conform/sandboxes/metadata.ts';
import { parseFilter } from '../../app/conform/suite.ts';
import { contractText } from '../../spec/load.ts';

const path = '/v1/sessions/sandboxes';

describe("conform's rules", () => {
  const plain = (text: string) => text.replace(/\s+/g, ' ');
  const section = (name: string) => new RegExp(`\\n( *)${name}:\\n(?:\\1 .*\\n|\\n)+`).exec(contractText)?.[0] ?? '';
  const page = [path, 'VMSandboxInfo', 'HTTPValidationError', 'ValidationError'].map(section).map(plain);

  for (const { id, source } of rules) {
    if ('reading' in source) continue;
    it(`${id} quotes openapi.yaml`, () => {
      if ('page' in source)
        expect(
          page.some((text) => text.includes(source.page)),
          source.page,
        ).to.equal(true);
      else expect(plain(contractText)).to.contain(source.contract);
    });
  }

  it('have unique ids', () => {
    expect(new Set(rules.map(({ id }) => id)).size).to.equal(rules.length);
  });

  it('each filter rule tells its misreading apart with the sandboxes that the suite creates', () => {
    const known = documents.map((text, n) => ({ id: String(n), metadata: parseFilter(text) }));
    for (const { id, filters, misreading } of filterCases) {
      const revealing = filters.filter((text) => isRevealing(known, parseFilter(text), misreading));
      expect(revealing, id).not.to.deep.equal([]);
    }
  });
});

describe("conform's curl command", () => {
  const url = 'http://x/y';
  it('writes an empty header as curl expects, and others as variables', () => {
    const line = (credential: ReturnType<typeof apiKeyCredential>) =>
      curlLine({ method: 'GET', url, credentials: [credential] });
    expect(line(apiKeyCredential('', ''))).to.equal(`curl -i -H "X-API-Key;" '${url}'`);
    expect(line(apiKeyCredential('k'))).to.equal(`curl -i -H "X-API-Key: $API_KEY" '${url}'`);
    expect(line(bearerCredential('t'))).to.equal(`curl -i -H "Authorization: Bearer $BEARER" '${url}'`);
  });
});

describe("conform's JUnit report", () => {
  it('is valid XML whatever the server sends', () => {
    const nasty = 'a\u0000b\u001b[31m<&>"\'\ud800 \uffff\u{1f642}';
    const failure = { request: null, expected: nasty, got: nasty };
    const xml = junitXml({
      url: 'http://x/?a&b',
      seed: 1,
      requests: 1,
      seconds: 1,
      error: nasty,
      results: [{ id: 'x', title: nasty, outcome: 'fail', source: nasty, seconds: 0, failure }],
      sandboxes: { made: 0, refused: [], left: [] },
    });
    expect(xml).not.to.match(/[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u);
    expect(xml).to.contain('a\\u0000b\\u001b[31m&lt;&amp;&gt;&quot;&apos;\ufffd \\uffff\u{1f642}');
    expect(xml).to.contain('tests="2" failures="1" skipped="0" errors="1"');
  });
});
