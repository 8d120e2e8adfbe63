import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'chai';

const root = new URL('../../', import.meta.url);
const isGenerated = (file: string) => file.endsWith('.gen.ts');
const files = execFileSync('git', ['ls-files', 'app', 'db', 'spec', 'test'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((file) => /\.(ts|cjs|mjs)$/.test(file) && !isGenerated(file));
const linesOf = (file: string) => readFileSync(new URL(file, root), 'utf8').trimEnd().split('\n');
const comment = /^\s*(\/\*\*|\*|\/\/)\s/;
const comments = files.flatMap((file) =>
  linesOf(file)
    .map((text, n) => ({ text, place: `${file}:${n + 1}` }))
    .filter(({ text }) => comment.test(text)),
);

/** Longer than the rule allows, and still to be split. */
const longFiles = [
  'test/cli/cli.test.ts',
  'test/events/event-log.test.ts',
  'test/fastapi/requests.ts',
  'test/http/network.test.ts',
  'test/proxy/proxy.test.ts',
  'test/test-mode/faults.test.ts',
];

describe('the style of the source', () => {
  it('has comments of at most 100 columns', () => {
    expect(comments.filter(({ text }) => text.length > 100).map(({ place }) => place)).to.deep.equal([]);
  });

  it('has no comment that begins with "Has" or "Returns what"', () => {
    const odd = /^\s*(\/\*\*|\*|\/\/)\s+(Has |Returns what)/;
    expect(comments.filter(({ text }) => odd.test(text)).map(({ place }) => place)).to.deep.equal([]);
  });

  it('has files of at most 300 lines', () => {
    const long = files.filter((file) => linesOf(file).length > 300);
    expect(long.filter((file) => !longFiles.includes(file))).to.deep.equal([]);
  });

  it('has at most ten files in app/, db/ and test/, and fifteen in any other folder', () => {
    // Migrations are one file each, for ever.
    const counts = new Map<string, number>();
    for (const file of files.filter((each) => !each.includes('/migrations/')))
      counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    const most = (folder: string) => (folder.includes('/') ? 15 : 10);
    const crowded = [...counts].filter(([folder, count]) => count > most(folder));
    expect(crowded.map(([folder, count]) => `${folder}: ${count}`)).to.deep.equal([]);
  });
});
