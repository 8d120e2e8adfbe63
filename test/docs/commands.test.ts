import { globSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Command as Commander } from 'commander';
import { variables } from '../../app/config/misspelt.ts';
import { rules } from '../../app/conform/rules/all.ts';
import { createProgram } from '../../app/program.ts';
import type { Terminal } from '../../app/terminal/terminal.ts';
import { pages, readPage } from './marked.ts';

/** The commands that have subcommands. */
const groups = ['users', 'keys', 'templates', 'machines'];

type Command = { name: string; flags: string[] };

/** Returns Sandpit's commands in the code blocks and code spans of a page. */
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

/** Returns every command of the program with its flags; a subcommand is e.g. `users create`. */
function commandsOf(program: Commander): Command[] {
  const all = program.commands.flatMap((command) => [command, ...command.commands]);
  return all.map((command) => ({
    name: command.parent === program ? command.name() : `${command.parent?.name()} ${command.name()}`,
    flags: ['--help', ...command.options.map(({ long }) => long ?? '')],
  }));
}

/** Returns the code of a folder as one text, white space collapsed. */
function sourceOf(folder: string): string {
  const cwd = new URL(`../../${folder}/`, import.meta.url);
  const files = globSync('**/*.ts', { cwd }).map((file) => readFileSync(new URL(file, cwd), 'utf8'));
  return files.join('\n').replace(/\\\n/g, '').replace(/\s+/g, ' ');
}

describe('the commands that the pages name', () => {
  it('exist, with these flags', () => {
    const flagsOf = new Map(commandsOf(createProgram({} as Terminal)).map(({ name, flags }) => [name, flags]));
    const named = pages.flatMap(commandsIn);
    expect(named).to.have.length.above(30);
    const wrong = named.flatMap(({ name, flags }) => {
      const known = flagsOf.get(name);
      return known ? flags.filter((flag) => !known.includes(flag)).map((flag) => `${name} ${flag}`) : [name];
    });
    expect(wrong).to.deep.equal([]);
  });

  it('read only variables that exist', () => {
    const named = pages.flatMap((page) => [...readPage(page).matchAll(/\bSANDPIT_[A-Z_]+\b/g)].map(([name]) => name));
    expect(named.filter((name) => !variables.includes(name))).to.deep.equal([]);
  });

  it('print the messages that OPERATING.md quotes in its troubleshooting', () => {
    const [, table = ''] = readPage('OPERATING.md').split('## Troubleshooting');
    const quoted = [...table.matchAll(/"([^"]+)"/g)].map(([, text = '']) => text);
    expect(quoted).to.have.length.above(4);
    const source = `${sourceOf('app')} ${sourceOf('db')}`.toLowerCase();
    expect(quoted.filter((text) => !source.includes(text.toLowerCase()))).to.deep.equal([]);
  });

  it('serve the metrics that OPERATING.md names', () => {
    const source = sourceOf('app/metrics');
    const named = [...readPage('OPERATING.md').matchAll(/`sandpit_([a-z_]+)`/g)].map(([, name = '']) => name);
    expect(named).to.have.length.above(10);
    expect(named.filter((name) => !source.includes(`${name}'`))).to.deep.equal([]);
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
