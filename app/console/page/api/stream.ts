import { type Event, open } from './api.ts';
import { ApiError } from './call.ts';

/** `live`: events arrive. `broken`: they don't, and another attempt follows. */
export type StreamState = 'connecting' | 'live' | 'broken';

type Listener = { onEvent: (event: Event) => void; onState: (state: StreamState) => void };

/** The server sends something at least every 15 seconds, and begins at once. */
const silenceMilliseconds = 40_000;
const openMilliseconds = 10_000;
const shortestPause = 500;
const longestPause = 10_000;

/**
 * Listens to the user's events until the signal, and takes up a broken stream where it broke. It
 * reads the stream with `fetch`, because EventSource can't send a credential.
 */
export async function listen({ onEvent, onState }: Listener, signal: AbortSignal): Promise<void> {
  let last: string | null = null;
  let pause = shortestPause;
  onState('connecting');
  while (!signal.aborted) {
    try {
      for await (const { id, data } of read(last, signal, () => {
        onState('live');
        pause = shortestPause;
      })) {
        last = id ?? last;
        onEvent(JSON.parse(data));
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
    }
    if (signal.aborted) return;
    onState('broken');
    await rest(pause, signal);
    pause = Math.min(pause * 2, longestPause);
  }
}

type Message = { id: string | null; data: string };

async function* read(last: string | null, signal: AbortSignal, onOpen: () => void): AsyncGenerator<Message> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), openMilliseconds);
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (last !== null) headers['Last-Event-ID'] = last;
  try {
    const answer = await open('GET', 'v1/events', { headers, signal: AbortSignal.any([signal, silent.signal]) });
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(), silenceMilliseconds);
    onOpen();
    let rest = '';
    for await (const text of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), silenceMilliseconds);
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) yield* messageOf(block);
    }
  } finally {
    clearTimeout(timer);
    silent.abort();
  }
}

/** Yields the message of a block of lines (HTML Standard, 9.2.6); none for a comment. */
function* messageOf(block: string): Generator<Message> {
  const fields = block.split('\n').map((line) => /^(\w*): ?(.*)$/.exec(line) ?? []);
  const data = fields.filter(([, name]) => name === 'data').map(([, , value]) => value);
  if (data.length > 0) yield { id: fields.find(([, name]) => name === 'id')?.[2] ?? null, data: data.join('\n') };
}

function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
