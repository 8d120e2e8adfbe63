import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from 'dockerode';
import { MachineError } from '../error.ts';
import { callEngine, deadlines } from './engine/engine.ts';
import { programPath } from './program.ts';
import { RelayStream } from './relay-stream.ts';

/** Milliseconds between attempts to reach an agent that is still starting. */
const pause = 50;

/**
 * Opens a connection to the agent of a container: runs `agent relay` in it and returns that
 * program's input and output. Waits for an agent that is still starting, until the signal. Rejects
 * with MachineError `gone` when the container does not run.
 */
export async function openChannel(container: Container, signal: AbortSignal): Promise<Duplex> {
  for (;;) {
    const stream = await runRelay(container, signal);
    if (await speaks(stream, signal)) return stream;
    stream.destroy();
    await callEngine('look at the machine', deadlines.read, () => mustRun(container), signal);
    await callEngine(
      'reach the agent',
      deadlines.change,
      (until) => delay(pause, undefined, { signal: until }),
      signal,
    );
  }
}

async function runRelay(container: Container, signal: AbortSignal): Promise<RelayStream> {
  const config = {
    Cmd: [programPath, 'relay'],
    // The socket belongs to root.
    User: '0:0',
    WorkingDir: '/',
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  };
  const exec = await callEngine(
    'connect to the machine',
    deadlines.read,
    (abortSignal) => container.exec({ ...config, abortSignal }),
    signal,
  );
  const socket = await callEngine(
    'connect to the machine',
    deadlines.read,
    (abortSignal) => exec.start({ hijack: true, stdin: true, Detach: false, Tty: false, abortSignal }),
    signal,
  );
  if (!(socket instanceof Socket)) throw refused(socket as unknown as IncomingMessage);
  // Notices an engine on another machine that vanishes.
  socket.setKeepAlive(true, 30_000);
  socket.setNoDelay(true);
  return new RelayStream(socket);
}

/** Resolves to whether the agent says something; false when the relay ends without a word. */
function speaks(stream: RelayStream, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const settle = (isSpeaking: boolean) => {
      stream.off('readable', look).off('error', fail).off('end', fail).off('close', fail);
      signal.removeEventListener('abort', abandon);
      resolve(isSpeaking);
    };
    const look = () => {
      if (stream.readableLength > 0) settle(true);
      else stream.read();
    };
    const fail = () => settle(false);
    const abandon = () => {
      settle(false);
      stream.destroy();
      reject(new MachineError('timeout', 'the agent did not answer in time', { cause: signal.reason }));
    };
    stream.on('readable', look).on('error', fail).on('end', fail).on('close', fail);
    if (signal.aborted) abandon();
    signal.addEventListener('abort', abandon, { once: true });
  });
}

async function mustRun(container: Container): Promise<void> {
  const { State } = await container.inspect();
  if (!State.Running) throw new MachineError('gone', 'the machine has stopped');
}

function refused(answer: IncomingMessage): MachineError {
  answer.destroy();
  return new MachineError(
    'unsupported',
    'the container engine, or a proxy in front of it, refuses two-way connections',
  );
}
