import { useEffect, useRef, useState } from 'preact/hooks';
import { html } from '../html.ts';

/** Returns an error's words for the user. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Runs what a button does, one at a time. `problem` says why the last one failed; `run` resolves to
 * whether it succeeded.
 */
export function useAction() {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const running = useRef(false);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      setProblem(wordsOf(error));
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { run, isBusy, problem };
}

/**
 * Loads something when `inputs` change, and when `reload` is called. The old value stays meanwhile.
 */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, inputs: readonly unknown[]) {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const left = new AbortController();
    load(left.signal).then(
      (loaded) => {
        if (left.signal.aborted) return;
        setValue(() => loaded);
        setProblem(null);
      },
      (error) => void (left.signal.aborted || setProblem(wordsOf(error))),
    );
    return () => left.abort();
  }, [...inputs, round]);
  return { value, problem, reload: () => setRound((current) => current + 1) };
}

/** Shows why something failed; nothing for null. Screen readers say it at once. */
export function Problem({ words }: { words: string | null }) {
  return html`<p role="alert" class="problem">${words ?? ''}</p>`;
}
