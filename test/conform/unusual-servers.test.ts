import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Report } from '../../app/conform/report/report.ts';
import { runSuite } from '../../app/conform/run.ts';
import type { JsonObject } from '../../db/json/json.ts';
import { add, json, type Listed, type Oddity, type Other, otherServer } from '../helpers/other-server.ts';
import { type Result, sandpit } from '../helpers/processes/process.ts';

const env = { SANDPIT_CONFORM_API_KEY: 'k', SANDPIT_CONFORM_SECOND_API_KEY: 'second' };

describe('sandpit conform against an unusual server', () => {
  let other: Other;
  const begin = async (...given: Parameters<typeof otherServer>) => {
    other = await otherServer(...given);
  };
  afterEach(() => other.close());
  const conform = (...args: string[]) => sandpit(['conform', '--url', other.url, ...args], { env });
  const outcomesOf = ({ stdout }: Result) =>
    Object.fromEntries((JSON.parse(stdout) as Report).results.map(({ id, outcome }) => [id, outcome]));

  it('filters by part of metadata that is too long for a filter', async () => {
    const long = (n: number) => ({ note: 'x'.repeat(9000), [`key ${n}`]: 'y'.repeat(1000), n, even: n % 2 === 0 });
    await begin(undefined, [0, 1, 2, 3, 4, 5].map(long));
    const rules = ['limit-after-filter', 'isolation-filter', 'generated-filters'];
    const result = await conform('--existing', '--json', '--rule', ...rules);
    expect(outcomesOf(result)).to.deep.equal(Object.fromEntries(rules.map((id) => [id, 'pass'])));
    expect(result.code, result.stderr).to.equal(0);
  });

  it('reports on a server whose metadata nests deeper than a filter may', async () => {
    const deep = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
    await begin(undefined, [deep(80), { ...deep(80), env: 'dev' }, { env: 'prod', n: 1 }]);
    const result = await conform(
      '--existing',
      '--json',
      '--rule',
      'generated-filters',
      'limit-exact',
      'filter-applied',
    );
    const pass = 'pass';
    expect(outcomesOf(result)).to.include({ 'generated-filters': pass, 'limit-exact': pass, 'filter-applied': pass });
  });

  it('fails only the rule whose response is an HTML page', async () => {
    const page: Oddity = (req, res) => {
      const isOdd = /limit=101(&|$)/.test(req.url ?? '');
      if (isOdd) res.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>');
      return isOdd;
    };
    await begin(page);
    const rules = ['limit-default', 'limit-above-default', 'order-repeatable'];
    const result = await conform('--sandboxes', '101', '--json', '--rule', ...rules);
    expect(outcomesOf(result)).to.deep.equal({
      'limit-default': 'pass',
      'limit-above-default': 'fail',
      'order-repeatable': 'pass',
    });
    expect(other.active()).to.equal(0);
  });

  it("sends none of the server's own parameters", async () => {
    const known: Oddity = (req, res) => {
      const isKnown = /[?&](status|state|offset|Limit)=/.test(req.url ?? '');
      if (isKnown) json(res, 422, { detail: [] });
      return isKnown;
    };
    await begin(known);
    const result = await conform('--json', '--existing', '--rule', 'unknown-parameters');
    expect(outcomesOf(result)).to.deep.equal({ 'unknown-parameters': 'pass' });
  });

  it("reports an exception inside a rule as that rule's failure and continues", async () => {
    await begin();
    const rule = (id: string, run: () => Promise<void>) => ({ id, title: '', source: { reading: '' }, run });
    const broken = rule('broken', () => Promise.reject(new TypeError('not a list')));
    const { results, error } = await runSuite(
      {
        url: other.url,
        apiKey: 'k',
        isExisting: true,
        sandboxes: 0,
        seed: 1,
        generated: 1,
        maxRequests: 100,
        maxSeconds: 60,
        requestSeconds: 10,
        settleSeconds: 0,
      },
      [broken, rule('whole', async () => {})],
      () => {},
    );
    expect(error).to.equal(null);
    expect(results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal(['broken fail', 'whole pass']);
    expect(results[0]?.failure?.got).to.equal('TypeError: not a list');
  });

  it('looks again when a server kills sandboxes after its response', async () => {
    let ending: Listed | undefined;
    let looks = 0;
    const later: Oddity = (req, res, { sandboxes }) => {
      if (ending && req.method === 'GET') looks++;
      if (ending && looks === 2) ending.status = 'killed';
      if (ending && looks === 5) ending.end_at = null;
      if (req.method !== 'DELETE' || ending) return false;
      ending = sandboxes.find(({ sandbox_id }) => req.url?.endsWith(sandbox_id));
      json(res, 202, {});
      return true;
    };
    await begin(later);
    const result = await conform('--json', '--rule', 'killed-listed', 'killed-without-end');
    expect(outcomesOf(result)).to.deep.equal({ 'killed-listed': 'pass', 'killed-without-end': 'pass' });
    expect(looks).to.be.at.least(5);
    expect(other.active()).to.equal(0);
  });

  describe('reports every sandbox that it may leave behind:', () => {
    it('one with another id in the response', async () => {
      await begin(async (req, res) => {
        if (req.method !== 'POST') return false;
        const { metadata } = JSON.parse(await text(req));
        json(res, 201, { id: add(other, metadata) });
        return true;
      });
      const { code, stdout, stderr } = await conform();
      expect(code).to.equal(1);
      expect(stderr).to.contain('(POST /v1/vms answered 201 without vm_id, sandbox_id or session_id)');
      expect(stdout).to.match(/; 1 sandbox made and ended\n$/);
      expect(other.sandboxes.map(({ status }) => status)).to.deep.equal(['killed']);
    });

    it('one created after the request timed out', async () => {
      let looks = 0;
      const late: Oddity = (req) => {
        if (req.method === 'GET' && other.sandboxes.length > 0) return false;
        // The first list is the one at the start of the run.
        if (req.method === 'GET' && ++looks === 3) add(other, made);
        if (req.method !== 'POST') return false;
        text(req).then((body) => {
          made = JSON.parse(body).metadata;
        });
        return true;
      };
      let made: JsonObject = {};
      await begin(late);
      const { stdout, stderr } = await conform('--request-seconds', '1');
      expect(stderr).to.contain('had no answer within 1 s');
      expect(stdout).to.match(/; 1 sandbox made and ended\n$/);
      expect(other.sandboxes.map(({ status }) => status)).to.deep.equal(['killed']);
    });

    it('one that may have been created without a response', async () => {
      const silent: Oddity = (req) => req.method === 'POST';
      await begin(silent);
      const { stdout } = await conform('--request-seconds', '1', '--settle-seconds', '0');
      expect(stdout).to.match(
        /^not ended: perhaps one more, with "conform_run":"\w{32}" in its metadata: it is not listed$/m,
      );
      expect(stdout).to.match(/; a sandbox may be left\n$/);
    });

    it('those that it cannot kill in time', async () => {
      await begin((req, res) => {
        if (req.method !== 'DELETE') return false;
        res.writeHead(429, { 'Retry-After': '99' }).end();
        return true;
      });
      const { code, stdout, stderr } = await conform('--rule', 'limit-exact');
      expect(code).to.equal(1);
      expect(
        stdout.match(/^not ended: .* answered 429: retrying after 99 s would exceed the time limit/gm),
      ).to.have.length(12);
      expect(stderr).to.match(/12 sandboxes could not be ended\n$/);
    });

    it('and says so while it is still killing them', async () => {
      await begin(async (req, res) => {
        if (req.method !== 'DELETE' || other.sandboxes[11]?.status === 'killed') return false;
        Object.assign(other.sandboxes[11] as Listed, { status: 'killed' });
        res.writeHead(429, { 'Retry-After': '2' }).end();
        return true;
      });
      const { code, stderr } = await conform('--rule', 'limit-exact');
      expect(code).to.equal(0);
      expect(stderr).to.equal('Ending 12 sandboxes that the suite created. This takes at most a minute.\n');
      expect(other.active()).to.equal(0);
    });
  });

  it('does not wait when Retry-After exceeds the time left', async () => {
    await begin((req, res) => {
      const isOne = /[?&]limit=1(&|$)/.test(req.url ?? '');
      if (isOne) res.writeHead(429, { 'Retry-After': '30' }).end();
      return isOne;
    });
    const { stdout } = await conform('--max-seconds', '20', '--rule', 'limit-exact', 'order-repeatable');
    expect(stdout).to.match(
      /^skip {2}limit-exact .*: GET \S+ answered 429: retrying after 30 s would exceed the time limit/m,
    );
    expect(stdout).to.match(/^pass {2}order-repeatable/m);
  });
});
