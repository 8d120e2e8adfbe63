import { StringDecoder } from 'node:string_decoder';
import type { CodeEvent } from './context.ts';
import { type Message, tooLarge } from './marked-output.ts';

/** Takes text of one stream; the code waits until it resolves. */
export type Write = (source: 'stdout' | 'stderr', text: string) => void | Promise<void>;

/** How code ended, in the terms of a command. */
export type Ending = { exitCode: number; cpuSeconds: number | null };

/**
 * Writes what happens while code runs as a terminal would show it: results as texts among the
 * output, errors with their tracebacks among the errors. Returns how it ended: 1 stands for an
 * error, unless the code says another number. Throws what `events` and `write` throw.
 */
export async function transcribe(events: AsyncIterable<CodeEvent>, write: Write): Promise<Ending> {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  let failed = 1;
  for await (const event of events) {
    if (event.type === 'output') {
      const text = decoders[event.source].write(event.bytes);
      if (text !== '') await write(event.source, text);
    } else if (event.type === 'message') {
      const { source, text } = textOf(event.message);
      if (text !== '') await write(source, `${text}\n`);
      failed = exitCodeOf(event.message) ?? failed;
    } else {
      for (const source of ['stdout', 'stderr'] as const) await write(source, decoders[source].end());
      return await ended(event, write, failed);
    }
  }
  throw new Error('the events of code have no end');
}

async function ended(event: Extract<CodeEvent, { type: 'done' | 'died' }>, write: Write, failed: number) {
  if (event.type === 'died') {
    await write('stderr', `${event.reason}\n`);
    return { exitCode: event.exitCode ?? -1, cpuSeconds: null };
  }
  const exitCode = event.exitCode ?? (event.isOk ? 0 : failed);
  return { exitCode, cpuSeconds: event.cpuSeconds };
}

function textOf({ type, content }: Message): { source: 'stdout' | 'stderr'; text: string } {
  if (type === 'error')
    return { source: 'stderr', text: Array.isArray(content.traceback) ? content.traceback.join('\n') : '' };
  if (type === 'too_large') return { source: 'stderr', text: tooLarge };
  const data = content.data as Record<string, unknown> | undefined;
  const text = data?.['text/plain'];
  return { source: 'stdout', text: Array.isArray(text) ? text.join('') : typeof text === 'string' ? text : '' };
}

/** Python's `sys.exit(3)` is an error of this name. */
function exitCodeOf({ type, content }: Message): number | null {
  if (type !== 'error' || content.ename !== 'SystemExit') return null;
  const number = Number(content.evalue === 'None' ? 0 : content.evalue);
  return Number.isInteger(number) ? number : 1;
}
