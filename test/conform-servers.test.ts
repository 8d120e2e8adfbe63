import { expect } from 'chai';
import { type Report, runSuite } from '../app/conform/run.ts';
import { json, type Listed, type Oddity, type Other, otherServer } from './other-server.ts';
import { type Result, sandpit } from './process.ts';

const env = { SANDPIT_CONFORM_API_KEY: 'k', SANDPIT_CONFORM_SECOND_API_KEY: 'second' };

describe('sandpit conform, against a server', () => {
  let other: Other;
  const begin = async (...given: Parameters<typeof otherServer>) => {
    other = await otherServer(...given);
  };
  afterEach(() => other.close());
  const conform = (...args: string[]) => sandpit(['conform', '--url', other.url, ...args], { env });
  const outcomesOf = ({ stdout }: Result) =>
    Object.fromEntries((JSON.parse(stdout) as Report).results.map(({ id, outcome }) => [id, outcome]));

  it('whose metadata is too long to be asked for, asks for parts of it', async () => {
    const long = (n: number) => ({ note: 'x'.repeat(9000), [`key ${n}`]: 'y'.repeat(1000), n, even: n % 2 === 0 });
    await begin(undefined, [0, 1, 2, 3, 4, 5].map(long));
    const rules = ['limit-after-filter', 'isolation-filter', 'generated-filters'];
    const result = await conform('--existing', '--json', '--rule', ...rules);
    expect(outcomesOf(result)).to.deep.equal(Object.fromEntries(rules.map((id) => [id, 'pass'])));
    expect(result.code, result.stderr).to.equal(0);
  });

  it('whose metadata nests deeper than a filter may, reports all the same', async () => {
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

  it('that answers one limit with a page, fails the rule and reports the others', async () => {
    const page: Oddity = (req, res) => {
      const isOdd = /limit=101(&|$)/.test(req.url ?? '');
      if (isOdd) res.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>');
      return isOdd;
    };
    await begin(page);
    const rules = ['limit-default', 'limit-above-default', 'order-repeatable'];
    const result = await conform('--sandboxes', '101', '--json', '--rule', ...rules);
    expect(outcomesOf(result)).to.deep.equal({
      ...{ 'limit-default': 'pass', 'limit-above-default': 'fail', 'order-repeatable': 'pass' },
    });
    expect(other.active()).to.equal(0);
  });

  it('with parameters of its own, asks for none of them', async () => {
    const known: Oddity = (req, res) => {
      const isKnown = /[?&](status|state|offset|Limit)=/.test(req.url ?? '');
      if (isKnown) json(res, 422, { detail: [] });
      return isKnown;
    };
    await begin(known);
    const result = await conform('--json', '--existing', '--rule', 'unknown-parameters');
    expect(outcomesOf(result)).to.deep.equal({ 'unknown-parameters': 'pass' });
  });

  it('that breaks a rule itself, reports that as its failure and goes on', async () => {
    await begin();
    const rule = (id: string, run: () => Promise<void>) => ({ id, title: '', source: { reading: '' }, run });
    const broken = rule('broken', () => Promise.reject(new TypeError('not a list')));
    const { results, error } = await runSuite(
      {
        ...{ url: other.url, apiKey: 'k', isExisting: true, sandboxes: 0, seed: 1, generated: 1 },
        ...{ maxRequests: 100, maxSeconds: 60, requestSeconds: 10, settleSeconds: 0 },
      },
      [broken, rule('whole', async () => {})],
      () => {},
    );
    expect(error).to.equal(null);
    expect(results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal(['broken fail', 'whole pass']);
    expect(results[0]?.failure?.got).to.equal('TypeError: not a list');
  });

  it('that ends sandboxes after it has said so, looks again', async () => {
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
});
