import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { Command } from 'commander';
import fc from 'fast-check';
import { transferCommands } from '../../app/cli/transfer.ts';
import { linesOf } from '../../app/import/json-lines.ts';
import type { Terminal } from '../../app/terminal/terminal.ts';
import { createUser } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { openStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { importLine } from '../helpers/processes/commands.ts';
import { temporaryDirectory } from '../helpers/server.ts';

/** Returns the file of a new database with a user alice. */
async function newDatabase(): Promise<string> {
  const file = join(temporaryDirectory(), 'sandpit.db');
  const store = openStore(file);
  await inTransaction(store.db, (trx) => createUser(trx, 0, cli, 'alice', null));
  await store.close();
  return file;
}

/** Runs `import` or `export` in this process. Returns its output; throws its error. */
async function run(args: string[], input: Iterable<Buffer> = [], stop = new AbortController().signal) {
  const [stdin, stdout, stderr] = [Readable.from(input), new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(stdout), text(stderr)]);
  const terminal = { stdin, stdout, stderr, stop, now: Date.now, onReload: () => {} } as unknown as Terminal;
  const program = new Command();
  transferCommands(program, terminal);
  try {
    await program.parseAsync(args, { from: 'user' });
  } finally {
    stdout.end();
    stderr.end();
  }
  return { stdout: (await printed)[0], stderr: (await printed)[1] };
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it worked',
    (error) => (error as Error).message,
  );
}

async function allLines(input: Iterable<Buffer>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { number, text } of linesOf(input)) lines.push(`${number}:${text}`);
  return lines;
}

const bytes = (...parts: (string | number[])[]) => Buffer.concat(parts.map((part) => Buffer.from(part as string)));

describe('JSON lines', () => {
  let db: string;
  let dir: string;
  beforeEach(async () => {
    db = await newDatabase();
    dir = temporaryDirectory();
  });

  const character = fc.oneof(
    fc.constantFrom('\u2028', '\u2029', '\u0085', '\r', '\n', '\ufeff', '\u007f', '"', '\\', '\ud83d\ude00', '\uffff'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  );
  const string = fc.string({ unit: character }).map((value) => value.replaceAll('\0', ''));
  const key = fc.oneof(string, fc.constantFrom('', '__proto__', 'constructor', '10', '2', 'toString', 'a.b', '~1/'));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      ...[string, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null)],
      ...[fc.array(tie('value')), fc.dictionary(key, tie('value'))],
    ),
  }));

  it('any metadata survives import and export, and an export survives a second round', async () => {
    const metadata = fc.array(fc.dictionary(key, value), { minLength: 1, maxLength: 30 });
    const property = fc.asyncProperty(metadata, async (all) => {
      const [first, second] = [await newDatabase(), await newDatabase()];
      const input = all.map((one, n) => importLine({ sandbox_id: `s${n}`, metadata: one })).join('');
      await run(['import', '-', '--db', first], [Buffer.from(input)]);
      const { stdout: exported } = await run(['export', '--db', first]);
      const back = new Map(
        exported
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line))
          .map((record) => [record.sandbox_id, JSON.stringify(record.metadata)]),
      );
      for (const [n, one] of all.entries())
        expect(back.get(`s${n}`)).to.equal(JSON.stringify(JSON.parse(JSON.stringify(one))));
      await run(['import', '-', '--db', second], [Buffer.from(exported)]);
      expect((await run(['export', '--db', second])).stdout).to.equal(exported);
    });
    await fc.assert(property, { numRuns: 15 });
  });

  it('are split the same way however the bytes arrive and whatever the line ending', async () => {
    const lines = fc.array(fc.string({ unit: character }).map((line) => line.replace(/[\r\n]/g, '')));
    const cuts = fc.array(fc.integer({ min: 0, max: 200 }));
    const property = fc.asyncProperty(
      lines,
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
      cuts,
      async (all, end, ended, at) => {
        fc.pre(!/^(\0|.\0)/.test(all[0] ?? ''));
        const whole = Buffer.from(all.join(end) + (ended ? end : ''));
        const places = [0, ...at.sort((a, b) => a - b), whole.length];
        const chunks = places.map((place, n) => whole.subarray(place, places[n + 1] ?? place));
        const expected = all
          .map((line, n) => `${n + 1}:${line.replace(/^\ufeff/, '')}`)
          .filter((line) => !/^\d+:[ \t]*$/.test(line));
        expect(await allLines(chunks)).to.deep.equal(expected);
      },
    );
    await fc.assert(property);
  });

  it('may have CRLF, a byte order mark, empty lines and no final newline; a file may be empty', async () => {
    const record = (n: number) => importLine({ sandbox_id: `s${n}` }).trim();
    const input = bytes([0xef, 0xbb, 0xbf], `${record(1)}\r\n\r\n \t\n${record(2)}\n`, [0xef, 0xbb, 0xbf], record(3));
    expect((await run(['import', '-', '--db', db], [input])).stderr).to.equal('Imported 3 sandboxes.\n');
    for (const empty of [[], [Buffer.alloc(0)], [bytes([0xef, 0xbb, 0xbf])], [bytes('\n\r\n')]])
      expect((await run(['import', '-', '--db', db], empty)).stderr).to.equal('Imported 0 sandboxes.\n');
  });

  it("that are not records are refused in the API's words, with the line and the property", async () => {
    const wrong: [string, string][] = [
      [importLine({ sandbox_id: 'x', settings: { autoResume: 'yes', nope: 1 } }), 'settings.nope: Extra inputs'],
      [
        importLine({ sandbox_id: 'x', settings: { autoResume: 'yes' } }),
        'settings.autoResume: Input should be a valid boolean',
      ],
      [importLine({ sandbox_id: 'x', env: { A: 1 } }), 'env.A: Input should be a valid string'],
      [importLine({ sandbox_id: 'x', memory_mb: 1 }), 'memory_mb: Input should be greater than or equal to 128'],
      [
        importLine({ sandbox_id: 'x', owner: undefined, status: undefined }),
        'owner: Field required; status: Field required',
      ],
      ['[]', 'line 2: Input should be a valid dictionary or object'],
      [importLine({ sandbox_id: 'x', ['y'.repeat(2000)]: 1 }), `line 2: ${'y'.repeat(1000)}…: Extra inputs`],
      [importLine({ sandbox_id: 'x' }).replace('"status"', '"a\\u001b":1,"status"'), 'a\u001b: Extra inputs'],
      [
        importLine({ ...Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`p${n}`, n])), sandbox_id: 'x' }),
        'p9: Extra inputs are not permitted; and 490 more',
      ],
    ];
    for (const [text, reason] of wrong) {
      const failure = await failureOf(run(['import', '-', '--db', db], [bytes(importLine(), text)]));
      expect(failure)
        .to.match(/^nothing was imported: line 2: /)
        .and.contain(reason);
    }
  });

  it('that are not UTF-8 are refused, naming the line or the encoding of the file', async () => {
    const good = importLine();
    const utf16 = (text: string) => Buffer.from(text, 'utf16le');
    const wrong: [Buffer, RegExp][] = [
      [bytes(good, '\n{"', [0xff], '":1}\n'), /^nothing was imported: line 3: it is not valid UTF-8$/],
      [bytes(good, '{"', [0xed, 0xa0, 0x80], '":1}'), /line 2: it is not valid UTF-8$/],
      [bytes(good, '{"', [0xc3]), /line 2: it is not valid UTF-8$/],
      [utf16(`\ufeff${good}`), /the text is UTF-16.*--output FILE$/],
      [utf16(`\ufeff${good}`).swap16(), /the text is UTF-16/],
      [utf16(good), /the text is UTF-16/],
      [utf16(good).swap16(), /the text is UTF-16/],
      [utf16('\r\n'), /the text is UTF-16/],
      [bytes([0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0]), /the text is UTF-32/],
      [bytes([0, 0, 0, 0x7b]), /the text is UTF-32/],
      [bytes([0x1f, 0x8b, 8, 0]), /compressed with gzip/],
      [readFileSync(db), /is a SQLite database/],
    ];
    for (const [input, message] of wrong) {
      const failure = await failureOf(run(['import', '-', '--db', db], [input]));
      expect(failure).to.match(message);
      expect(failure).to.match(/^[ -~]*$/);
    }
    expect((await run(['export', '--db', db])).stdout).to.equal('');
  });

  it('may have up to 16 MiB each; no more than that is buffered', async () => {
    const chunk = Buffer.alloc(2 ** 20, 'x');
    let given = 0;
    function* endless() {
      yield bytes('{}\n');
      for (;;) {
        given++;
        yield chunk;
      }
    }
    expect(await failureOf(allLines(endless()))).to.equal('line 2: it is longer than 16 MiB');
    expect(given).to.equal(17);
    const longest = [...Array(16).fill(chunk), bytes('\n')];
    expect((await allLines(longest))[0]).to.have.length(2 ** 24 + 2);
    expect(await failureOf(allLines([bytes('\n'), chunk, ...longest]))).to.match(/^line 2: it is longer/);
  });

  it('must come from a readable file', async () => {
    for (const [file, reason] of [
      [join(dir, 'missing'), 'there is no such file'],
      [dir, 'it is a folder'],
    ] as const) {
      const message = `nothing was imported: can't read ${file}: ${reason}`;
      expect(await failureOf(run(['import', file, '--db', db]))).to.equal(message);
    }
  });

  describe('export --output', () => {
    const exported = async (...args: string[]) => run(['export', '--db', db, '--output', ...args]);

    it('writes what standard output would get, readable by this user only', async () => {
      await run(
        ['import', '-', '--db', db],
        [Buffer.from(importLine({ metadata: { line: '\u2028', word: 'Grüße' } }))],
      );
      const file = join(dir, 'all.jsonl');
      expect(await exported(file)).to.deep.equal({ stdout: '', stderr: `Exported to ${file}.\n` });
      expect(readFileSync(file, 'utf8')).to.equal((await exported('-')).stdout);
      expect(readFileSync(file, 'utf8')).to.contain('Grüße');
      expect(statSync(file).mode & 0o777).to.equal(0o600);
    });

    it('replaces a file only with --force, and never anything else', async () => {
      const file = join(dir, 'all.jsonl');
      writeFileSync(file, 'precious');
      expect(await failureOf(exported(file))).to.equal(`${file} exists already: --force replaces it`);
      expect(readFileSync(file, 'utf8')).to.equal('precious');
      await exported(file, '--force');
      expect(readFileSync(file, 'utf8')).to.equal('');
      const link = join(dir, 'link');
      symlinkSync(db, link);
      mkdirSync(join(dir, 'folder'));
      for (const [name, reason] of [
        [db, 'is the database itself'],
        [link, 'is the database itself'],
        [`${db}-wal`, 'is the database itself'],
        [join(dir, 'folder'), 'is a folder'],
        ['/dev/null', 'is not an ordinary file'],
        [join(dir, 'missing', 'file'), 'its folder does not exist'],
      ] as const)
        expect(await failureOf(exported(name, '--force')), name).to.contain(reason);
      expect(existsSync('/dev/null')).to.equal(true);
      expect(readdirSync(dir).sort()).to.deep.equal(['all.jsonl', 'folder', 'link']);
    });

    it('leaves no file behind when interrupted', async () => {
      await run(['import', '-', '--db', db], [Buffer.from(importLine())]);
      expect(
        await failureOf(run(['export', '--db', db, '--output', join(dir, 'all')], [], AbortSignal.abort())),
      ).to.match(/abort/);
      expect(readdirSync(dir)).to.deep.equal([]);
    });
  });
});
