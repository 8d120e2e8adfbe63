import { expect } from 'chai';
import type { Report } from '../../app/conform/report/report.ts';
import { rules } from '../../app/conform/rules/all.ts';
import { runSuite } from '../../app/conform/run.ts';
import { documents } from '../../app/conform/sandboxes/metadata.ts';
import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { requirePart } from '../docs/marked.ts';
import { type Caller, shareApp, startTime } from '../helpers/server.ts';
import { mutants, mutantTable, part } from './all.ts';
import { filterMutants, ownFilter } from './filters.ts';
import { eachItem, type Mutant, refusing, serveMutant } from './mutant.ts';

describe('the suite, against mutants', () => {
  const shared = shareApp({ port: 0 });
  let url: string;
  let count = 0;
  before(async () => {
    url = await shared().server.start();
  });

  /** Adds two accounts with a history: every run has its own. */
  async function accounts(metadata: readonly string[]): Promise<{ own: Caller; other: Caller }> {
    const app = shared();
    const own = await app.addUser(`own-${count}`);
    const other = await app.addUser(`other-${count++}`);
    await app.insert(own, { templateId: 'snap2', metadata: { userId: '123' } });
    await app.insert(own, { startedAt: startTime - 3000, endAt: startTime - 2000 });
    for (const text of metadata) await app.insert(own, { metadata: parseJson(text) as JsonObject });
    await app.insert(other, { metadata: { userId: '123' } });
    return { own, other };
  }

  async function judge(only?: string, mutant?: Mutant, { isExisting = false, generated = 60 } = {}): Promise<Report> {
    const { own, other } = await accounts(isExisting ? documents : []);
    const keys = { own: own.key, other: other.key };
    // No two sandboxes start at the same time.
    const tick = (method: string) => {
      if (method === 'POST') shared().clock.now++;
    };
    const server = await serveMutant(url, keys, tick, mutant);
    try {
      const options = {
        url: server.url,
        apiKey: own.key,
        bearer: own.key,
        secondApiKey: other.key,
        isExisting,
        sandboxes: mutant?.sandboxes ?? (mutant ? 12 : 101),
        seed: 1,
        generated,
        maxRequests: 5000,
        maxSeconds: 60,
        requestSeconds: 10,
        settleSeconds: 0,
      };
      const chosen = only === undefined ? rules : rules.filter(({ id }) => id === only);
      return await runSuite(options, chosen, () => {});
    } finally {
      server.close();
    }
  }

  it('passes every rule against the correct server, and skips none', async () => {
    const { results, error, sandboxes } = await judge(undefined);
    expect(error).to.equal(null);
    expect(sandboxes).to.deep.equal({ made: 101, refused: [], left: [] });
    expect(results.filter(({ outcome }) => outcome !== 'pass')).to.deep.equal([]);
  });

  it('passes every rule against a mutant that changes nothing', async () => {
    const control = { name: '', wrong: '', rule: '', sandboxes: 101 };
    const wrongOf = async (answer: Mutant['answer']) => {
      const { results } = await judge(undefined, { ...control, answer });
      return results.filter(({ outcome }) => outcome !== 'pass').map(({ id }) => id);
    };
    expect(await wrongOf(eachItem((item) => item))).to.deep.equal([]);
    expect(await wrongOf(refusing(422, (answer) => answer))).to.deep.equal([]);
    // A generated filter may contain such a number as well.
    const ofDoubles = (await wrongOf(ownFilter)).filter((id) => id !== 'generated-filters');
    expect(ofDoubles).to.deep.equal(['filter-number-exact']);
  });

  for (const mutant of mutants) {
    it(`${mutant.name}: ${mutant.wrong}`, async () => {
      const { results } = await judge(mutant.rule, mutant);
      expect(results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal([`${mutant.rule} fail`]);
      const { request, got } = results[0]?.failure ?? {};
      expect(request).to.match(/^curl -i /);
      // A mutant answers 599 if it fails itself.
      expect(got).not.to.match(/^599/m);
    });
  }

  for (const mutant of filterMutants) {
    it(`${mutant.name}, with --existing`, async () => {
      const { results } = await judge(mutant.rule, mutant, { isExisting: true });
      expect(results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal([`${mutant.rule} fail`]);
    });
  }

  it('catches by a fixed request what one generated request in a hundred shows', async () => {
    for (const name of ['fourth pair lost', 'quotes crash']) {
      const mutant = mutants.find((one) => one.name === name) as Mutant;
      for (const isExisting of [false, true]) {
        const { results } = await judge(mutant.rule, mutant, { isExisting, generated: 1 });
        expect(results[0]?.outcome, name).to.equal('fail');
      }
    }
  });

  it('shrinks a generated request to the smallest that fails', async () => {
    const mutant = mutants.find(({ name }) => name === 'above 512 refused') as Mutant;
    const { results } = await judge(mutant.rule, mutant);
    expect(results[0]?.failure?.request).to.match(/sandboxes\?limit=513'$/);
  });

  it('has a mutant for every rule', () => {
    const caught = new Set(mutants.map(({ rule }) => rule));
    expect(rules.map(({ id }) => id).filter((id) => !caught.has(id))).to.deep.equal([]);
    expect(new Set(mutants.map(({ name }) => name)).size).to.equal(mutants.length);
  });

  it('CONTRACT-TESTING.md has the table of mutants (npm run mutants writes it)', () =>
    requirePart(part, mutantTable()));
});
