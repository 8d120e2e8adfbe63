import type { Agent } from '../../../app/machines/agent/agent.ts';
import type { Entry } from '../../../app/machines/agent/entry.ts';
import { readFile, writeFile } from '../../../app/machines/agent/files.ts';

/** Yields the parts. */
export async function* contentOf(...parts: Buffer[]): AsyncGenerator<Buffer> {
  yield* parts;
}

/** Writes a text to a file. */
export function put(agent: Agent, path: string, content: string): Promise<Entry> {
  return writeFile(agent, '', path, contentOf(Buffer.from(content)), {});
}

/** Reads a file, or a part of it, as text. */
export async function text(agent: Agent, path: string, range?: { offset: number; length: number }): Promise<string> {
  const { content } = await readFile(agent, '', path, range);
  return Buffer.concat(await Array.fromAsync(content)).toString();
}
