import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { hasPython } from '../../../helpers/python.ts';
import { temporaryDirectory } from '../../../helpers/server.ts';
import { until } from '../../../helpers/until.ts';
import { cli, sdks } from '../../clients.ts';
import { bin, expectSuccess, run } from '../../command.ts';
import { machines as recorder } from '../../record.ts';
import { type Serving, withServer } from '../serving.ts';
import type { Sandbox } from '../session.ts';

/**
 * Runs a program on a pseudo-terminal. Once it shows a prompt, types the first argument. Prints
 * what the program printed, and its exit status.
 */
const typing = `
import os, pty, re, signal, sys
signal.alarm(40)
pid, master = pty.fork()
if pid == 0: os.execvp(sys.argv[2], sys.argv[2:])
said, typed = b'', False
while True:
    try: part = os.read(master, 10000)
    except OSError: break
    if not part: break
    said += part
    if not typed and re.search(rb'[$#] ', said):
        os.write(master, sys.argv[1].encode())
        typed = True
print(said.decode(), 'exit', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

/** Returns a sandbox of the newest SDK, to use with the command line. */
async function newSandbox({ url, key }: Serving): Promise<Sandbox> {
  const newest = sdks.at(-1);
  if (newest === undefined) throw new Error('there is no SDK');
  return new newest.sdk.E2B({ apiKey: key, apiUrl: url, sandboxUrl: url }).Sandbox.create();
}

describe("E2B's command line on machines", () => {
  const serving = withServer();
  const variables = () => {
    const { url, key } = serving();
    return { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: key, HOME: temporaryDirectory() };
  };
  const e2b = (args: string[], input?: string) => run(args, variables(), input);
  const works = (command: string, body: () => Promise<void>) => recorder.declare(cli, command, 'works', body);
  /** Needs a pseudo-terminal, which Python makes. */
  const inTerminal = (command: string, body: () => Promise<void>) =>
    hasPython ? works(command, body) : it.skip(`${cli.title}: ${command} (skipped: there is no python3)`, body);
  let sandbox: Sandbox;
  before(async () => {
    sandbox = await newSandbox(serving());
  });

  /** Types this at the prompt of a command's terminal. Returns what it showed. */
  async function terminal(args: string[], input: string): Promise<string> {
    const env = { PATH: process.env.PATH, TERM: 'xterm', ...variables() };
    const command = [process.execPath, bin, ...args];
    const { stdout } = await promisify(execFile)('python3', ['-c', typing, input, ...command], { env });
    return stdout;
  }

  works('sandbox exec', async () => {
    const id = sandbox.sandboxId;
    const hi = await e2b(['sandbox', 'exec', '-e', 'A=b c', id, 'sh', '-c', 'echo "$A"; echo err >&2']);
    expect(hi).to.deep.equal({ code: 0, stdout: 'b c\n', stderr: 'err\n' });
    expect((await e2b(['sandbox', 'exec', id, 'sh', '-c', 'exit 3'])).code).to.equal(3);
    const cat = await e2b(['sandbox', 'exec', id, 'cat'], 'piped in');
    expect(cat).to.deep.include({ code: 0, stdout: 'piped in' });
    expect((await e2b(['sandbox', 'exec', 'iunknown', 'true'])).code).to.equal(1);
  });

  works('sandbox logs', async () => {
    await sandbox.commands.run('echo a line to find in the log');
    const shown = async () => (await e2b(['sandbox', 'logs', sandbox.sandboxId])).stdout;
    await until('the line', async () => (await shown()).includes('a line to find in the log'));
  });

  works('sandbox metrics', async () => {
    await until('the first reading', async () => (await sandbox.getMetrics()).length > 0, 30_000);
    const result = await e2b(['sandbox', 'metrics', sandbox.sandboxId]);
    expectSuccess(result);
    expect(result.stdout).to.match(/CPU/i).and.to.match(/mem/i);
  });

  works('sandbox pause, resume', async () => {
    const id = sandbox.sandboxId;
    expect((await e2b(['sandbox', 'pause', id])).stdout).to.equal(`Sandbox ${id} has been paused\n`);
    expect(await sandbox.isRunning()).to.equal(false);
    expect((await e2b(['sandbox', 'resume', id])).stdout).to.equal(`Sandbox ${id} has been resumed\n`);
    expect(await sandbox.isRunning()).to.equal(true);
  });

  works('sandbox snapshot create, list, delete', async () => {
    const id = sandbox.sandboxId;
    const { stdout } = await e2b(['sandbox', 'snapshot', 'create', id]);
    const [, snapshotId = ''] = /^Created snapshot (\S+) from sandbox/.exec(stdout) ?? [];
    const listed = await e2b(['sandbox', 'snapshot', 'list', id, '-f', 'json']);
    expect(JSON.parse(listed.stdout)).to.have.nested.property('[0].snapshotId', snapshotId);
    expectSuccess(await e2b(['sandbox', 'snapshot', 'delete', snapshotId]));
  });

  inTerminal('sandbox connect', async () => {
    const shown = await terminal(['sandbox', 'connect', sandbox.sandboxId], 'echo fo""und; stty size; exit 0\n');
    expect(shown).to.match(/found\s/);
    expect(shown).to.match(/\d+ \d+\s/);
    expect(await sandbox.isRunning()).to.equal(true);
  });

  inTerminal('sandbox create', async () => {
    const shown = await terminal(['sandbox', 'create', 'base'], 'echo fo""und; exit 0\n');
    expect(shown).to.match(/found\s/);
  });
});
