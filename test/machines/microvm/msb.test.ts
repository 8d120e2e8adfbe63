import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Msb } from '../../../app/machines/microvm/runtime/msb.ts';
import { temporaryDirectory } from '../../helpers/server.ts';

const call = { doing: 'try' };

describe('the output of msb', () => {
  /** Returns an msb that runs these lines of shell. */
  const msbOf = (lines: string) => {
    const folder = temporaryDirectory();
    const path = join(folder, 'msb');
    writeFileSync(path, `#!/bin/sh\n${lines}\n`);
    chmodSync(path, 0o755);
    return new Msb(path, folder, { PATH: process.env.PATH });
  };

  it('is whole after the program has ended while the server was busy', async () => {
    const running = msbOf("head -c 60000 /dev/zero | tr '\\0' x; echo end").run([], call);
    // The program ends meanwhile, and the timer that ends late output is due before the pipe is
    // read.
    for (const end = performance.now() + 700; performance.now() < end; );
    const output = await running;
    expect([output.length, output.slice(-5)]).to.deep.equal([60_004, 'xend\n']);
  });

  it('ends soon after the program, though a machine that it started holds the pipes', async () => {
    const output = await msbOf('echo started; sleep 20 & exit 0').run([], call);
    expect(output).to.equal('started\n');
  });
});
