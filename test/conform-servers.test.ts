import { expect } from 'chai';
import type { Report } from '../app/conform/run.ts';
import { type Other, otherServer } from './other-server.ts';
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
});
