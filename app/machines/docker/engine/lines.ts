import { MachineError } from '../../error.ts';

const mostCharacters = 1_000_000;

/**
 * Yields the JSON values of a stream that has one on each line. Throws MachineError for endless
 * lines.
 */
export async function* jsonLines(stream: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > mostCharacters) throw new MachineError('failed', 'the container engine sends endless lines');
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line);
  }
  if (rest.trim() !== '') yield JSON.parse(rest);
}
