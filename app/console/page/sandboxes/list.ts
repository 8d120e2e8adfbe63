import { useEffect, useRef, useState } from 'preact/hooks';
import { call, type Sandbox } from '../api/api.ts';
import { listen, type StreamState } from '../api/stream.ts';
import { wordsOf } from '../parts/action.ts';

/** What the list shows. `metadata` is the JSON text of a filter; empty: all. */
export type Wanted = { metadata: string; statuses: readonly string[]; template: string };

export const rowsPerPage = 100;
/** A request that gets no answer, as when the network was lost, is given up after so long. */
const longestLoad = 15_000;
/** At most so often is the list read again because something has happened. */
const shortestGap = 150;

export type Listed = {
  rows: Sandbox[] | null;
  problem: string | null;
  stream: StreamState;
  page: number;
  hasMore: boolean;
  older: () => void;
  newer: () => void;
  refresh: () => void;
};

/**
 * Returns a page of the sandboxes that match, newest first, and keeps it up to date: each event of
 * the stream reads the page again. While reading takes long, it happens less often.
 */
export function useSandboxes(wanted: Wanted): Listed {
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const [loaded, setLoaded] = useState<{ rows: Sandbox[]; next: string | null } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [stream, setStream] = useState<StreamState>('connecting');
  const key = JSON.stringify(wanted);
  const shown = useRef(key);
  const cursor = shown.current === key ? (cursors.at(-1) ?? null) : null;
  const refresh = useRef(() => {});
  useEffect(() => {
    if (shown.current !== key) setCursors([null]);
    shown.current = key;
    const left = new AbortController();
    const load = async () => {
      const query = { limit: rowsPerPage, cursor, statuses: wanted.statuses, template_id: wanted.template || null };
      const filter = wanted.metadata.trim() === '' ? {} : { metadata: wanted.metadata };
      try {
        const signal = AbortSignal.any([left.signal, AbortSignal.timeout(longestLoad)]);
        const answer = await call<Sandbox[]>('GET', 'v1/vms/', { query: { ...query, ...filter }, signal });
        setLoaded({ rows: answer.body, next: answer.headers.get('X-Next-Cursor') });
        setProblem(null);
      } catch (error) {
        if (left.signal.aborted) return;
        const isLate = error instanceof DOMException && error.name === 'TimeoutError';
        setProblem(isLate ? 'The server did not answer in time.' : wordsOf(error));
        if (isLate) refresh.current();
      }
    };
    refresh.current = throttled(load, left.signal);
    refresh.current();
    return () => left.abort();
  }, [key, cursor]);
  useEffect(() => {
    const left = new AbortController();
    const onState = (state: StreamState) => {
      setStream(state);
      // What happened while no events came is in the list.
      if (state === 'live') refresh.current();
    };
    void listen({ onEvent: ({ sandbox_id: id }) => id !== null && refresh.current(), onState }, left.signal);
    return () => left.abort();
  }, []);
  return {
    rows: loaded?.rows ?? null,
    problem,
    stream,
    page: cursors.length,
    hasMore: loaded?.next != null,
    older: () => setCursors((known) => [...known, loaded?.next ?? null]),
    newer: () => setCursors((known) => known.slice(0, -1)),
    refresh: () => refresh.current(),
  };
}

/**
 * Returns a function that does the work: at once, and if it was called meanwhile once more, after a
 * pause that grows with the time that the work takes.
 */
function throttled(work: () => Promise<void>, signal: AbortSignal): () => void {
  let isRunning = false;
  let isWanted = false;
  const run = async () => {
    isRunning = true;
    while (isWanted && !signal.aborted) {
      isWanted = false;
      const begin = performance.now();
      await work();
      const took = performance.now() - begin;
      await new Promise((resolve) => setTimeout(resolve, Math.max(shortestGap, 3 * took)));
    }
    isRunning = false;
  };
  return () => {
    isWanted = true;
    if (!isRunning) void run();
  };
}
