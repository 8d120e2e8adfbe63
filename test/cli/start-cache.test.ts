import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { cacheFolder, remembered } from '../../spec/cache.ts';
import { contractText, loadContract } from '../../spec/load.ts';

describe('the start cache', () => {
  const text = `test ${process.pid} ${Date.now()}`;
  const file = join(cacheFolder(), `${createHash('sha256').update(text).digest('hex')}.json`);
  afterEach(() => rmSync(file, { force: true, recursive: true }));

  it('is used for the same text only, and rebuilt if damaged', () => {
    let made = 0;
    const make = (from: string) => ({ from, made: ++made });
    expect(remembered(text, make)).to.deep.equal({ from: text, made: 1 });
    expect(remembered(text, make)).to.deep.equal({ from: text, made: 1 });
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -3));
    expect(remembered(text, make)).to.deep.equal({ from: text, made: 2 });
    expect(remembered(text, make)).to.deep.equal({ from: text, made: 2 });
  });

  it('equals the parsed openapi.yaml', () => {
    expect(loadContract()).to.deep.equal(parse(contractText));
    expect(existsSync(join(cacheFolder(), `${createHash('sha256').update(contractText).digest('hex')}.json`))).to.equal(
      true,
    );
  });
});
