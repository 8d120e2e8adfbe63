import { ConnectError } from '../../http/connect.ts';
import type { Exit, ProcessEvent } from '../../machines/agent/processes.ts';
import type { MessageStream } from './connect/message-stream.ts';

/** The most output in one message, as in E2B's server. */
const maxOutputBytes = 32_768;

type Options = { deadline?: number | undefined; onStart?: () => void };

/**
 * Sends the events of a process as E2B's messages, as fast as the client reads them. A process that
 * was killed after `deadline`, a time of `performance.now()`, is ConnectError `deadline_exceeded`.
 */
export async function sendEvents(
  events: AsyncIterable<ProcessEvent>,
  stream: MessageStream,
  { deadline = Number.POSITIVE_INFINITY, onStart }: Options = {},
): Promise<void> {
  let output = 'stdout';
  for await (const event of events) {
    if (event.type === 'start') {
      onStart?.();
      if (event.isTerminal) output = 'pty';
      await stream.send(`{"event":{"start":{"pid":${event.pid}}}}`);
    } else if (event.type === 'exit') {
      if (event.exit.signal !== 0 && performance.now() >= deadline)
        throw new ConnectError('deadline_exceeded', 'The process took longer than its timeout and was killed');
      await stream.send(JSON.stringify({ event: { end: endOf(event.exit) } }));
    } else await sendOutput(event.type === 'stdout' ? output : 'stderr', event.bytes, stream);
  }
}

/** Base64 becomes part of the JSON as it is, because that is all it needs. */
async function sendOutput(name: string, bytes: Buffer, stream: MessageStream): Promise<void> {
  for (let at = 0; at < bytes.length; at += maxOutputBytes) {
    const text = bytes.toString('base64', at, Math.min(at + maxOutputBytes, bytes.length));
    const full = stream.sendAscii(`{"event":{"data":{"${name}":"${text}"}}}`);
    if (full) await full;
  }
}

/** The words of Go's os.ProcessState, which E2B's server sends. */
function endOf({ exitCode, signal }: Exit) {
  const exited = signal === 0;
  const status = exited ? `exit status ${exitCode}` : `signal: ${signalNames[signal] ?? `signal ${signal}`}`;
  return { exitCode: exited ? exitCode : -1, exited, status, ...(!(exited && exitCode === 0) && { error: status }) };
}

/** What Go calls the signals of Linux. */
const signalNames: Record<number, string> = {
  1: 'hangup',
  2: 'interrupt',
  3: 'quit',
  4: 'illegal instruction',
  5: 'trace/breakpoint trap',
  6: 'aborted',
  7: 'bus error',
  8: 'floating point exception',
  9: 'killed',
  10: 'user defined signal 1',
  11: 'segmentation fault',
  12: 'user defined signal 2',
  13: 'broken pipe',
  14: 'alarm clock',
  15: 'terminated',
};
