import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, newListener } from '../session.ts';

const blockBytes = 65_536;

describe("E2B's SDK on machines: input and output of commands", () => {
  const { works } = eachSdkOnMachines();

  works('commands.sendStdin', async ({ sandbox, sdk }) => {
    const { hear, heard } = newListener();
    const handle = await sandbox.commands.run('cat', { background: true, stdin: true, onStdout: hear });
    await sandbox.commands.sendStdin(handle.pid, 'one ');
    await heard(/^one $/);
    await handle.sendStdin(new TextEncoder().encode('twö'));
    await heard(/^one twö$/);
    await handle.kill();
    const error = await rejection(sandbox.commands.sendStdin(999_999, 'a'));
    expect(error).to.be.instanceOf(sdk.NotFoundError);
  });

  works('commands.closeStdin', async ({ sandbox }) => {
    const handle = await sandbox.commands.run('cat; echo end', { background: true, stdin: true });
    const text = 'x'.repeat(300_000);
    await handle.sendStdin(text);
    await handle.closeStdin();
    expect((await handle.wait()).stdout).to.equal(`${text}end\n`);
  });

  works('commands.run: no stdin', async ({ sandbox }) => {
    expect((await sandbox.commands.run('cat; echo end')).stdout).to.equal('end\n');
  });

  works('commands.run: 20 MB of output', async ({ sandbox }) => {
    const bytes = { out: 0, err: 0 };
    await sandbox.commands.run('(yes abcdefg | head -c 20000000 >&2) & yes abcdefg | head -c 20000000; wait', {
      onStdout: (text) => {
        bytes.out += text.length;
      },
      onStderr: (text) => {
        bytes.err += text.length;
      },
      timeoutMs: 0,
    });
    expect(bytes).to.deep.equal({ out: 20_000_000, err: 20_000_000 });
  });

  works('commands.run: a slow reader', async ({ sandbox, folder }) => {
    // The command counts the blocks that it could write. The reader takes none until it is let go.
    const command = `i=0; while [ $i -lt 4000 ]; do head -c ${blockBytes} /dev/zero; i=$((i+1)); echo $i > ${folder}/n; done`;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const handle = await sandbox.commands.run(command, { background: true, onStdout: () => held, timeoutMs: 0 });
    await until('the first block', () => sandbox.files.exists(`${folder}/n`));
    const written = async () => Number(await sandbox.files.read(`${folder}/n`));
    let [before, same] = [-1, 0];
    await until('the command is blocked', async () => {
      await sandbox.commands.run('sleep 0.01');
      const now = await written();
      same = now === before ? same + 1 : 0;
      before = now;
      return same === 20;
    });
    expect(before).to.be.below(1000);
    await handle.kill();
    release();
    expect((await rejection(handle.wait())).name).to.equal('CommandExitError');
  });
});
