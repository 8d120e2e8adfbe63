import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { expect } from 'chai';
import { listDirectory, moveFile, readFile, removeFile, watchDirectory } from '../../../app/machines/agent/files.ts';
import { endMachines, run, startMachine } from './machine.ts';

describe('trees of a machine', () => {
  afterEach(endMachines);

  it('are removed however deep they are', async () => {
    const { agent } = await startMachine();
    // Deeper than any path may be long.
    const part = '0123456789/'.repeat(300);
    const { stderr } = await run(agent, `for n in 1 2 3; do mkdir -p ${part} && cd -P ${part} && : >file; done`);
    await removeFile(agent, '', '0123456789');
    expect([await listDirectory(agent, '', '', 1, 10), stderr]).to.deep.equal([[], '']);
  });

  it('are moved to another file system with their links, permissions and times', async function () {
    const { agent, home } = await startMachine();
    const other = mkdtempSync('/dev/shm/sandpit-');
    try {
      if (statSync(other).dev === statSync(home).dev) this.skip();
      const look = 'find t -printf "%P %y %m %T@ %l\\n" | sort';
      await run(
        agent,
        'mkdir -p t/u; echo hi > t/u/f; chmod 640 t/u/f; ln -s f t/u/link; touch -d 2020-01-01 t/u/f t/u t',
      );
      const before = await run(agent, look);
      expect(await moveFile(agent, '', 't', `${other}/t`)).to.include({ path: `${other}/t`, type: 'directory' });
      expect(await listDirectory(agent, '', '', 1, 10)).to.deep.equal([]);
      expect(await run(agent, `cd ${other}; ${look}`)).to.include({ stdout: before.stdout, stderr: '' });
      const { content } = await readFile(agent, '', `${other}/t/u/f`);
      expect((await Array.fromAsync(content)).join('')).to.equal('hi\n');
    } finally {
      rmSync(other, { recursive: true });
    }
  });

  it('are watched also after they moved', async () => {
    const { agent } = await startMachine();
    await run(agent, 'mkdir -p w/one/two');
    const changes = watchDirectory(agent, '', 'w', true).changes;
    await changes.next();
    const next = async (count: number) => {
      const seen: string[] = [];
      while (seen.length < count) {
        const { value } = await changes.next();
        if (value) seen.push(`${value.type} ${value.name}`);
      }
      return seen;
    };
    await run(agent, 'mv w/one w/other');
    expect(await next(2)).to.deep.equal(['rename one', 'create other']);
    await run(agent, 'mkdir w/other/two/three');
    expect(await next(1)).to.deep.equal(['create other/two/three']);
    await run(agent, 'mv w/other outside; touch outside/two/file; touch w/last');
    expect(await next(2)).to.deep.equal(['rename other', 'create last']);
    await changes.return(undefined);
  });
});
