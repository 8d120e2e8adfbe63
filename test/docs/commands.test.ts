import { expect } from 'chai';
import { variables } from '../../app/config/misspelt.ts';
import { rules } from '../../app/conform/rules/all.ts';
import { sandpit } from '../helpers/processes/process.ts';
import { pages, readPage } from './marked.ts';

/** The commands that have commands of their own. */
const groups = ['users', 'keys'];

type Command = { name: string; flags: string[] };

/** Returns the commands of Sandpit that stand in the code of a page. */
function commandsIn(page: string): Command[] {
  const code = [...readPage(page).matchAll(/```(?:sh|console|yaml)\n(.*?)```|`([^`\n]+)`/gs)];
  const lines = code.flatMap(([, block, inline]) => (block ?? inline ?? '').replaceAll('\\\n', ' ').split(/\n|&&|\|/));
  return lines.flatMap((line) => {
    const [, text] = /(?:^|[\s/$])sandpit(?:-linux-x64)? ([a-z][^#>]*)/.exec(line) ?? [];
    if (text === undefined || text.startsWith('npm')) return [];
    const words = text.trim().split(/\s+/);
    const name = words.slice(0, groups.includes(words[0] ?? '') ? 2 : 1).join(' ');
    return [{ name, flags: words.filter((word) => /^--\w/.test(word)).map((flag) => flag.replace(/=.*/, '')) }];
  });
}

describe('the commands that the pages name', () => {
  it('exist, with these flags', async () => {
    const commands = pages.flatMap(commandsIn);
    const byName = Map.groupBy(commands, ({ name }) => name);
    expect(byName.size).to.be.above(10);
    const wrong: string[] = [];
    for (const [name, uses] of byName) {
      const { code, stdout } = await sandpit([...name.split(' '), '--help']);
      if (code !== 0 || !stdout.startsWith(`Usage: sandpit ${name}`)) wrong.push(name);
      const unknown = uses.flatMap(({ flags }) => flags).filter((flag) => !new RegExp(`${flag}\\b`).test(stdout));
      wrong.push(...unknown.map((flag) => `${name} ${flag}`));
    }
    expect(wrong).to.deep.equal([]);
  });

  it('read only variables that exist', () => {
    const named = pages.flatMap((page) => [...readPage(page).matchAll(/\bSANDPIT_[A-Z_]+\b/g)].map(([name]) => name));
    expect(named.filter((name) => !variables.includes(name))).to.deep.equal([]);
  });

  it('print the rules of the suite as they are titled', () => {
    const shown = [...readPage('CONTRACT-TESTING.md').matchAll(/^(?:pass|FAIL|skip) {2}(\S+) +(.*)$/gm)];
    expect(shown).to.have.length(3);
    for (const [, id, text = ''] of shown) {
      expect(text).to.satisfy((line: string) =>
        line.startsWith(rules.find((rule) => rule.id === id)?.title ?? id ?? ''),
      );
    }
  });
});
