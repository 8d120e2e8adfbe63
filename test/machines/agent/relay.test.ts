import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connectAgent } from '../../../app/machines/agent/agent.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { run } from '../process/machine.ts';

const built = fileURLToPath(new URL(`../../../app/machines/agent/built/agent-${process.arch}`, import.meta.url));
const [program = built, ...firstArguments] = process.env.TEST_AGENT?.split(' ') ?? [];

/** Starts the program with pipes as standard input and output, as a container engine does. */
function start(...args: string[]): ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream } {
  return spawn(program, [...firstArguments, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
}

describe('the relay of the agent', () => {
  it('waits for the agent, carries a channel both ways, and ends with it', async () => {
    const directory = temporaryDirectory();
    const socket = join(directory, 'socket');
    const relay = start('relay', '--socket', socket);
    const serving = start('serve', '--home', directory, '--socket', socket);
    try {
      const agent = await connectAgent(Duplex.from({ readable: relay.stdout, writable: relay.stdin }));
      const { stdout, exitCode } = await run(agent, 'head -c 3000000 /dev/zero; exit 5');
      expect([stdout.length, exitCode]).to.deep.equal([3_000_000, 5]);
      const exit = once(relay, 'exit');
      relay.stdin.end();
      expect(await exit).to.deep.equal([0, null]);
    } finally {
      relay.kill('SIGKILL');
      serving.kill();
      await once(serving, 'exit');
    }
  });

  it('ends when the agent ends', async () => {
    const directory = temporaryDirectory();
    const socket = join(directory, 'socket');
    const serving = start('serve', '--home', directory, '--socket', socket);
    const relay = start('relay', '--socket', socket);
    const exit = once(relay, 'exit');
    const agent = await connectAgent(Duplex.from({ readable: relay.stdout, writable: relay.stdin }));
    serving.kill();
    expect(await exit).to.deep.equal([0, null]);
    await agent.closed;
  });
});
