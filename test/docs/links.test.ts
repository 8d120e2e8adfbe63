import { existsSync, globSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { settings } from '../../app/config/settings.ts';
import { pages, readPage } from './marked.ts';

const root = new URL('../../', import.meta.url);
const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { scripts: object };

/** Returns the texts that the pattern captures in a page, without duplicates. */
function namedIn(page: string, pattern: RegExp): string[] {
  return [...new Set([...readPage(page).matchAll(pattern)].map(([, name = '']) => name))];
}

function isMissing(path: string): boolean {
  return path.includes('*') ? globSync(path, { cwd: root }).length === 0 : !existsSync(new URL(path, root));
}

describe('the pages', () => {
  for (const page of pages) {
    it(`${page} names only files and folders that exist`, () => {
      // NNN stands for the number of a migration.
      const paths = namedIn(page, /`((?:app|db|spec|test|\.ci)\/[\w./*-]*)`/g).filter((path) => !path.includes('NNN'));
      expect(paths.filter(isMissing)).to.deep.equal([]);
    });

    it(`${page} links only to pages, files and headings that exist`, () => {
      const links = namedIn(page, /\]\(([^)\s]+)\)/g).filter((link) => !/^https?:/.test(link));
      const wrong = links.filter((link) => {
        const [path = '', heading] = link.split('#');
        const target = path === '' ? page : path;
        return isMissing(target) || (heading !== undefined && !headingsOf(target).includes(heading));
      });
      expect(wrong).to.deep.equal([]);
    });

    it(`${page} names only npm scripts that exist`, () => {
      const named = namedIn(page, /npm run (?:-s )?([\w:-]+)/g);
      expect(named.filter((name) => !(name in scripts))).to.deep.equal([]);
    });
  }

  it('ARCHITECTURE.md walks through functions that are where it says', () => {
    const named = [...readPage('ARCHITECTURE.md').matchAll(/`(\w+)`[^`()]*\s\(`([\w/.-]+\.ts)`\)/g)];
    expect(named).to.have.length.above(20);
    const wrong = named.filter(([, name = '', file = '']) => {
      const defines = new RegExp(`\\b(?:function\\*?|class|const|type) ${name}\\b`);
      return isMissing(file) || !defines.test(readFileSync(new URL(file, root), 'utf8'));
    });
    expect(wrong.map(([text]) => text)).to.deep.equal([]);
  });

  it('ARCHITECTURE.md shows the bounds that settings have by default', () => {
    const shown = [...readPage('ARCHITECTURE.md').matchAll(/\| ([\d,]+)[^|(]*\(`(SANDPIT_\w+)`\)/g)];
    expect(shown).to.have.length.above(3);
    for (const [, number = '', name] of shown) {
      const setting = Object.values(settings).find(({ variable }) => variable === name);
      expect(Number(number.replace(',', '')), name).to.equal(setting?.fallback);
    }
  });

  it('README.md is short enough to be read', () => {
    expect(readPage('README.md').split('\n').length).to.be.below(170);
  });
});

/** Returns the anchors of a page's headings as GitHub forms them. */
function headingsOf(page: string): string[] {
  return namedIn(page, /^#+ (.*)$/gm).map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}
