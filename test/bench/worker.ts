import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { atEnd, pinned, stopProcess } from './cleanup.ts';
import { progress } from './progress.ts';

type Request = { id: number; method: string; args: unknown[] };
type Reply = { id: number; result?: unknown; error?: string } | { progress: string };

export type Methods = { [name: string]: (...args: never[]) => unknown };

/** The methods of a worker as its starter sees them. */
export type Worker<M extends Methods> = {
  [K in keyof M]: (...args: Parameters<M[K]>) => Promise<Awaited<ReturnType<M[K]>>>;
} & { stop: () => Promise<void> };

/**
 * Starts a file of test/bench/ as a process of its own. Returns an object whose methods run in
 * that process.
 */
export function startWorker<M extends Methods>(file: string, args: string[] = [], core?: number): Worker<M> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const command = [process.execPath, path, ...args];
  const [program = '', ...rest] = core === undefined ? command : pinned(core, command);
  const child = spawn(program, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
  const call = callerOf(child);
  const stop = () => stopProcess(child);
  atEnd(stop);
  return new Proxy({} as Worker<M>, {
    get: (_, method) => (method === 'stop' ? stop : (...given: unknown[]) => call(String(method), given)),
  });
}

function callerOf(child: ChildProcess): (method: string, args: unknown[]) => Promise<unknown> {
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', (reply: Reply) => {
    if ('progress' in reply) return progress(reply.progress);
    const { resolve, reject } = waiting.get(reply.id) ?? {};
    waiting.delete(reply.id);
    if (reply.error === undefined) resolve?.(reply.result);
    else reject?.(new Error(reply.error));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`a worker ended with ${code ?? signal}`));
  });
  return (method, args) =>
    new Promise((resolve, reject) => {
      waiting.set(++lastId, { resolve, reject });
      child.send({ id: lastId, method, args } satisfies Request);
    });
}

/** In a worker: serves calls of these methods until the parent stops it or ends. */
export function serveMethods(methods: Methods): void {
  process.on('message', async ({ id, method, args }: Request) => {
    try {
      const result = await methods[method]?.(...(args as never[]));
      process.send?.({ id, result } satisfies Reply);
    } catch (error) {
      process.send?.({ id, error: String((error as Error).stack) } satisfies Reply);
    }
  });
  process.on('disconnect', () => process.exit());
  // Ctrl-C reaches every process of the terminal; the starter ends this one when it has to.
  process.on('SIGINT', () => {});
}

/** In a worker: shows progress on the parent's progress line. */
export function reportProgress(text: string): void {
  process.send?.({ progress: text } satisfies Reply);
}
