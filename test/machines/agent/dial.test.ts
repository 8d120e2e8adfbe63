import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type Agent, connectAgent } from '../../../app/machines/agent/agent.ts';
import { listProcesses, startProcess } from '../../../app/machines/agent/processes.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { outcomeOf, pidOf, run, settled, shell } from '../process/machine.ts';

const built = fileURLToPath(new URL(`../../../app/machines/agent/built/agent-${process.arch}`, import.meta.url));
const [program = built, ...firstArguments] = process.env.TEST_AGENT?.split(' ') ?? [];
/** HELLO with version 1, up to the number of the run, and the CREDIT of 0 on call 0. */
const greeting = Buffer.from([0, 0, 0, 0, 1, 10, 0, 0, 0, 1, 0]);
const alive = Buffer.from([0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 0]);

/**
 * Returns a stream that passes on everything but CREDIT for call 0, and counts the agent's bytes.
 */
function withoutAcknowledgements(socket: Socket): { channel: Duplex; received: () => number } {
  let bytes = 0;
  let isDropped = false;
  const channel = new Duplex({
    read: () => void socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      const isPayload = isDropped;
      isDropped = !isDropped && chunk.length === 9 && chunk.readUInt32LE(0) === 0;
      if (isPayload || isDropped) done();
      else socket.write(chunk, done);
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    channel.push(chunk);
  });
  socket.on('close', () => channel.push(null));
  return { channel, received: () => bytes };
}

describe('an agent that dials', () => {
  let path: string;
  let server: Server;
  let serving: ChildProcess;

  beforeEach(() => {
    const directory = temporaryDirectory();
    path = join(directory, 'server');
    server = createServer();
    const options = ['serve', '--home', directory, '--connect', `unix:${path}`];
    serving = spawn(program, [...firstArguments, ...options], { stdio: 'inherit' });
  });
  afterEach(async () => {
    serving.kill();
    await once(serving, 'exit');
    server.close();
  });

  async function dialled(): Promise<Socket> {
    const [socket] = (await once(server, 'connection')) as [Socket];
    return socket;
  }

  async function listen(): Promise<void> {
    rmSync(path, { force: true });
    await once(server.listen(path), 'listening');
  }

  it('dials again when a connection breaks, and its processes run on', async () => {
    await listen();
    const first = await connectAgent(await dialled());
    const pid = await pidOf(startProcess(first, shell('sleep 1000')));
    first.close();
    const second = await connectAgent(await dialled());
    expect((await listProcesses(second)).map((each) => each.pid)).to.deep.equal([pid]);
    second.close();
  });

  it('keeps one connection, and reaches a server that was away', async () => {
    await listen();
    const socket = await dialled();
    let dials = 0;
    server.on('connection', () => (dials += 1));
    const agent: Agent = await connectAgent(socket);
    await run(agent, 'true');
    expect(dials).to.equal(0);
    server.close();
    agent.close();
    server = createServer();
    await listen();
    expect((await run(await connectAgent(await dialled()), 'echo back')).stdout).to.equal('back\n');
  });

  it('says that it is there, which shows it a connection that stayed with the original of a copied machine', async () => {
    await listen();
    const socket = await dialled();
    let received = Buffer.alloc(0);
    for await (const bytes of socket) {
      received = Buffer.concat([received, bytes as Buffer]);
      if (received.length >= 19 + alive.length) break;
    }
    expect(received.subarray(0, greeting.length)).to.deep.equal(greeting);
    expect(received.subarray(19, 19 + alive.length)).to.deep.equal(alive);
  });

  it('has at most 65,536 bytes on the way until the server acknowledges them', async () => {
    const printing = 'head -c 3000000 /dev/zero | tr "\\0" x';
    await listen();
    const { channel, received } = withoutAcknowledgements(await dialled());
    const deaf = await connectAgent(channel);
    const cut = outcomeOf(startProcess(deaf, shell(printing))).catch((error: Error) => error);
    await until('the agent has sent what it may', () => received() >= 65_536);
    expect(await settled(async () => received())).to.equal(65_536);
    deaf.close();
    expect(await cut).to.be.an.instanceOf(Error);
    const agent = await connectAgent(await dialled());
    expect((await run(agent, printing)).stdout.length).to.equal(3_000_000);
    agent.close();
  });

  it('can go to the background, where a second one for the same server leaves at once', async () => {
    const options = ['serve', '--home', temporaryDirectory(), '--connect', `unix:${path}2`, '--detach', 'yes'];
    const start = () => once(spawn(program, [...firstArguments, ...options], { stdio: 'ignore' }), 'exit');
    expect(await start()).to.deep.equal([0, null]);
    expect(await start()).to.deep.equal([0, null]);
    let dials = 0;
    server.on('connection', () => (dials += 1));
    await once(server.listen(`${path}2`), 'listening');
    const agent = await connectAgent(await dialled());
    const { stdout } = await run(agent, 'cut -d" " -f4,6 /proc/$PPID/stat; echo $PPID');
    expect(dials).to.equal(1);
    const [, session, pid] = stdout.split(/\s+/).map(Number);
    process.kill(pid as number);
    await agent.closed;
    expect(session).to.not.equal(process.pid);
  });

  it('refuses an address that is none', async () => {
    for (const address of ['vsock:', 'vsock:x', 'tcp:1', `unix:${'x'.repeat(200)}`]) {
      const refused = spawn(program, [...firstArguments, 'serve', '--connect', address], { stdio: 'ignore' });
      expect(await once(refused, 'exit')).to.deep.equal([2, null]);
    }
  });
});
