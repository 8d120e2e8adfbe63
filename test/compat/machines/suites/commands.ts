import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, newListener } from '../session.ts';

describe("E2B's SDK on machines: commands", () => {
  const { works } = eachSdkOnMachines();

  works('commands.run', async ({ sandbox }) => {
    const result = await sandbox.commands.run('echo out; echo err >&2');
    expect(result).to.deep.include({ exitCode: 0, stdout: 'out\n', stderr: 'err\n' });
    expect((await sandbox.commands.run('true')).stdout).to.equal('');
    // Characters of several bytes arrive whole, wherever the output is divided.
    const { stdout } = await sandbox.commands.run('for i in $(seq 20000); do printf "aé€😀"; done');
    expect(stdout).to.equal('aé€😀'.repeat(20_000));
  });

  works('commands.run: exit code', async ({ sandbox, sdk }) => {
    const error = await rejection(sandbox.commands.run('echo out; echo err >&2; exit 7'));
    expect(error).to.be.instanceOf(sdk.CommandExitError);
    expect(error).to.deep.include({ exitCode: 7, stdout: 'out\n', stderr: 'err\n' });
    const unknown = await rejection(sandbox.commands.run('/no/such/program'));
    expect(unknown).to.include({ exitCode: 127 });
  });

  works('commands.run: onStdout, onStderr', async ({ sandbox }) => {
    const heard: string[] = [];
    const onStdout = (text: string) => void heard.push(`out ${text}`);
    const onStderr = (text: string) => void heard.push(`err ${text}`);
    // The command goes on only after the first line was heard.
    const handle = await sandbox.commands.run('echo 1; read line; echo $line >&2', {
      background: true,
      stdin: true,
      onStdout,
      onStderr,
    });
    await until('the first line', () => heard.includes('out 1\n'));
    await handle.sendStdin('2\n');
    await handle.wait();
    expect(heard).to.deep.equal(['out 1\n', 'err 2\n']);
  });

  works('commands.run: background', async ({ sandbox, folder }) => {
    const command = `touch ${folder}/began; until [ -e ${folder}/go ]; do sleep 0.01; done; echo done`;
    const handle = await sandbox.commands.run(command, { background: true });
    expect(handle.pid).to.be.above(0);
    expect(handle.exitCode).to.equal(undefined);
    await sandbox.files.write(`${folder}/go`, '');
    expect(await handle.wait()).to.deep.include({ exitCode: 0, stdout: 'done\n' });
  });

  works('commands.run: envs', async ({ sandbox, Sandbox, home }) => {
    const { stdout } = await sandbox.commands.run('echo "$A|$B|$HOME"', { envs: { A: 'a b', B: '"$(id)\n' } });
    expect(stdout).to.equal(`a b|"$(id)\n|${home}\n`);
    const other = await Sandbox.create({ envs: { A: 'sandbox', B: 'sandbox' } });
    const result = await other.commands.run('echo "$A $B"', { envs: { B: 'call' } });
    expect(result.stdout).to.equal('sandbox call\n');
    await other.kill();
  });

  works('commands.run: cwd', async ({ sandbox, sdk, home, folder }) => {
    const pwd = async (options = {}) => (await sandbox.commands.run('pwd', options)).stdout.trim();
    const [relative] = folder.split('/').slice(-1);
    expect(await pwd()).to.equal(home);
    expect(await pwd({ cwd: folder })).to.equal(folder);
    expect(await pwd({ cwd: relative })).to.equal(folder);
    expect(await pwd({ cwd: `~/${relative}` })).to.equal(folder);
    const error = await rejection(sandbox.commands.run('pwd', { cwd: `${folder}/none` }));
    expect(error).to.be.instanceOf(sdk.InvalidArgumentError);
    expect(error.message).to.contain(`cwd '${folder}/none' does not exist`);
  });

  works('commands.run: unknown user', async ({ sandbox, sdk }) => {
    const error = await rejection(sandbox.commands.run('true', { user: 'nobody-has-this' }));
    expect(error).to.be.instanceOf(sdk.AuthenticationError);
    expect(error.message).to.contain("invalid username: 'nobody-has-this'");
  });

  works(
    'commands.run: user',
    async ({ sandbox }) => {
      const who = async (options = {}) =>
        (await sandbox.commands.run('echo $(id -un) $HOME $USER $LOGNAME', options)).stdout.trim();
      expect(await who()).to.equal('user /home/user user user');
      expect(await who({ user: 'user' })).to.equal('user /home/user user user');
      expect(await who({ user: 'root' })).to.equal('root /root root root');
    },
    { engine: true },
  );

  works('commands.run: timeoutMs', async ({ sandbox, sdk, folder }) => {
    const mark = folder.split('/').at(-1);
    const error = await rejection(sandbox.commands.run(`sleep 1000; echo ${mark}`, { timeoutMs: 300 }));
    expect(error).to.be.instanceOf(sdk.TimeoutError);
    const isListed = async () => (await sandbox.commands.list()).some(({ args }) => args.join(' ').includes(`${mark}`));
    await until('the process is gone', async () => !(await isListed()));
  });

  works('commands.list', async ({ sandbox, folder }) => {
    const handle = await sandbox.commands.run('sleep 1000', { background: true, envs: { A: 'b' }, cwd: folder });
    const found = (await sandbox.commands.list()).find(({ pid }) => pid === handle.pid);
    expect(found).to.deep.include({ cmd: '/bin/bash', args: ['-l', '-c', 'sleep 1000'], cwd: folder });
    expect(found?.envs).to.deep.include({ A: 'b' });
    await handle.kill();
    const pids = async () => (await sandbox.commands.list()).map(({ pid }) => pid);
    await until('it is no longer listed', async () => !(await pids()).includes(handle.pid));
  });

  works('commands.connect', async ({ sandbox, Sandbox, sdk, folder }) => {
    const command = `until [ -e ${folder}/go ]; do sleep 0.01; done; echo late; exit 4`;
    const first = await sandbox.commands.run(command, { background: true });
    await first.disconnect();
    const again = await Sandbox.connect(sandbox.sandboxId);
    const { hear, text } = newListener();
    const second = await again.commands.connect(first.pid, { onStdout: hear });
    expect(second.pid).to.equal(first.pid);
    const ended = rejection(second.wait());
    await sandbox.files.write(`${folder}/go`, '');
    const error = await ended;
    expect(error).to.be.instanceOf(sdk.CommandExitError);
    expect(error).to.deep.include({ exitCode: 4, stdout: 'late\n' });
    expect(text()).to.equal('late\n');
    expect(await rejection(sandbox.commands.connect(999_999))).to.be.instanceOf(sdk.NotFoundError);
  });

  works('commands.kill', async ({ sandbox, sdk, folder }) => {
    // The child outlives a kill of its parent alone, and would then make the file.
    const command = `(trap "" HUP; while :; do echo >> ${folder}/alive; sleep 0.01; done) & wait`;
    const handle = await sandbox.commands.run(command, { background: true });
    await until('the child runs', () => sandbox.files.exists(`${folder}/alive`));
    const ended = rejection(handle.wait());
    expect(await sandbox.commands.kill(handle.pid)).to.equal(true);
    const error = await ended;
    expect(error).to.be.instanceOf(sdk.CommandExitError);
    expect(error).to.include({ exitCode: -1, error: 'signal: killed' });
    expect(await sandbox.commands.kill(handle.pid)).to.equal(false);
    expect(await sandbox.commands.kill(999_999)).to.equal(false);
    const children = async () => (await sandbox.commands.run(`pgrep -f '[t]rap.*${folder}' | wc -l`)).stdout.trim();
    await until('its child is gone', async () => (await children()) === '0');
  });
});
