/** Far more than a record needs: the sizes of its metadata and of its environment are limited. */
const maxLineBytes = 2 ** 24;

const newline = 0x0a;

export type Line = { number: number; text: string };

/**
 * Yields the lines of a JSON lines file, without LF or CRLF, numbered from 1. Skips empty lines.
 * Throws an Error that names the line when it is not UTF-8 or longer than 16 MiB, and an Error that
 * names the format of another kind of file.
 */
export async function* linesOf(input: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Line> {
  let number = 0;
  for await (const bytes of splitAtNewlines(input)) {
    if (++number === 1) refuseOtherKinds(bytes);
    const text = textOf(bytes, number);
    if (!/^[ \t\r]*$/.test(text)) yield { number, text };
  }
}

/**
 * Yields the bytes between newlines. Stops reading in a line that is too long; what it yields of it
 * is too long as well.
 */
async function* splitAtNewlines(input: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      yield Buffer.concat([...parts, chunk.subarray(start, end)]);
      [parts, size, start] = [[], 0, end + 1];
    }
    parts.push(chunk.subarray(start));
    size += chunk.length - start;
    if (size > maxLineBytes) break;
  }
  if (size > 0) yield Buffer.concat(parts);
}

/** Skips the byte order mark that some editors write. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Buffer, number: number): string {
  if (bytes.length > maxLineBytes) throw new Error(`line ${number}: it is longer than 16 MiB`);
  try {
    return utf8.decode(bytes).replace(/\r$/, '');
  } catch (error) {
    throw new Error(`line ${number}: it is not valid UTF-8`, { cause: error });
  }
}

const exportAgain = 'as PowerShell writes it after >, and may have lost characters: export again with --output FILE';

/** Patterns of a file's first bytes, in hexadecimal. JSON starts with two ASCII characters. */
const otherKinds: [RegExp, string][] = [
  [/^(fffe0000|0000feff|000000(?!00)|(?!00)..000000)/, 'the text is UTF-32: convert it to UTF-8'],
  [/^(fffe|feff|00(?!00)|(?!00)..00)/, `the text is UTF-16, ${exportAgain}`],
  [/^1f8b/, 'the file is compressed with gzip: decompress it first'],
  [/^53514c697465/, 'the file is a SQLite database: `sandpit restore` puts a backup in place'],
];

function refuseOtherKinds(bytes: Buffer): void {
  const start = bytes.subarray(0, 8).toString('hex');
  const [, kind] = otherKinds.find(([pattern]) => pattern.test(start)) ?? [];
  if (kind) throw new Error(kind);
}
