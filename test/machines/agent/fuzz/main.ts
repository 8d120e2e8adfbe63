import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connectAgent } from '../../../../app/machines/agent/agent.ts';
import { listProcesses } from '../../../../app/machines/agent/processes.ts';
import { randomFrom } from '../../../bench/data.ts';
import { listen } from '../../../helpers/listen.ts';
import { buildSanitized, connectTo, type Sanitized, startSanitized } from './sanitized.ts';
import { traffic } from './traffic.ts';

const help = `Usage: npm run agent:fuzz [-- options]

Sends the agent, built with sanitizers, damaged frames and arguments, and fails if it dies or stops answering.
Leaves the program as dist/agent-sanitized, so that the tests can run with it (TEST_AGENT).

Options:
  --seconds <n>  how long (default: 20)
  --seed <n>     where the random numbers start (default: the time)
  --build        only builds the program
`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    build: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(help);
else await main();

async function main(): Promise<void> {
  mkdirSync('dist', { recursive: true });
  const program = resolve(join('dist', 'agent-sanitized'));
  buildSanitized(program);
  if (values.build) return;
  const sanitized = await startSanitized(program);
  const service = moodyProgram();
  try {
    const port = await listen(service);
    await fuzz(sanitized, port, Number(values.seed), Date.now() + 1000 * Number(values.seconds));
  } finally {
    sanitized.end();
    service.close();
  }
}

/** A program at a port: it echoes, or reads nothing, ends or breaks off after a moment. */
function moodyProgram(): Server {
  let connections = 0;
  return createServer({ allowHalfOpen: true }, (socket) => {
    const mood = ++connections % 4;
    socket.on('error', () => undefined).unref();
    if (mood < 2) socket.pipe(socket);
    else if (mood === 2) socket.end(Buffer.alloc(300_000));
    else socket.once('data', () => socket.resetAndDestroy());
  });
}

async function fuzz(sanitized: Sanitized, port: number, first: number, end: number): Promise<void> {
  let seed = first;
  for (; Date.now() < end && sanitized.agent.exitCode === null; seed += 3) {
    await Promise.all([seed, seed + 1, seed + 2].map((each) => attack(sanitized, port, each)));
    await checkAlive(sanitized, seed);
  }
  await stop(sanitized, seed);
  console.log(`seeds ${first} to ${seed - 1}, a connection each: the agent answered after every three`);
}

/** Sends the traffic of a seed in pieces of any size, then breaks off or waits a moment. */
async function attack(sanitized: Sanitized, port: number, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const channel = await connectTo(sanitized);
  channel.on('data', () => undefined);
  for (const bytes of traffic(random, port)) {
    for (let start = 0; start < bytes.length && channel.writable; ) {
      const size = random() < 0.1 ? 1 + Math.floor(random() * 30) : bytes.length;
      await send(channel, bytes.subarray(start, start + size));
      start += size;
    }
    if (random() < 0.2) await delay(1);
  }
  if (random() < 0.5) await delay(20);
  channel.destroy();
}

/** Waits until the bytes are sent or failed, or the agent has not taken them for a moment. */
async function send(channel: Socket, bytes: Buffer): Promise<void> {
  await Promise.race([new Promise<void>((resolve) => channel.write(bytes, () => resolve())), delay(50)]);
}

/** Rejects unless a new channel is served, within a time that only a stuck agent exceeds. */
async function checkAlive(sanitized: Sanitized, seed: number): Promise<void> {
  const check = async () => {
    const agent = await connectAgent(await connectTo(sanitized));
    await listProcesses(agent);
    agent.close();
  };
  const isAlive = await Promise.race([check().then(() => true), delay(20_000, false)]).catch(() => false);
  if (!isAlive) throw new Error(`seed ${seed}: the agent does not answer\n${sanitized.report()}`);
}

/** Ends the agent, whose exit also reports memory that it lost. */
async function stop(sanitized: Sanitized, seed: number): Promise<void> {
  const { agent } = sanitized;
  const exit = agent.exitCode === null ? once(agent, 'exit') : [agent.exitCode];
  agent.kill('SIGTERM');
  const [code] = await exit;
  if (code !== 0 || sanitized.report() !== '')
    throw new Error(`before seed ${seed}: the agent exited with ${code}\n${sanitized.report()}`);
}
