import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { builtFolder, checkCompiler, compile, digestFile, digests, programs, sourceFolder } from './compile.ts';

const help = `Usage: npm run agent [-- options]

Builds the agent of machines for both processors into app/machines/agent/built/.

Options:
  --check          builds elsewhere and compares with what is committed, byte by byte
  --zig <command>  the compiler (default: dist/zig/bin/python -m ziglang if it is there, else python3 -m ziglang)
`;

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    zig: { type: 'string', default: existsSync('dist/zig') ? 'dist/zig/bin/python -m ziglang' : 'python3 -m ziglang' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(help);
else
  await main(values.zig.split(' ').map((word) => (word.includes('/') ? resolve(word) : word))).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });

async function main(zig: readonly string[]): Promise<void> {
  checkCompiler(zig);
  if (values.check) await check(zig);
  else {
    await buildAll(zig, sourceFolder, builtFolder);
    writeFileSync(digestFile, digests(builtFolder));
  }
  process.stdout.write(readFileSync(digestFile, 'utf8'));
}

// Another folder for the sources too: a path that got into a program would show.
async function check(zig: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sandpit-agent-'));
  try {
    cpSync(sourceFolder, join(folder, 'copy'), { recursive: true });
    await buildAll(zig, join(folder, 'copy'), folder);
    if (digests(folder) !== readFileSync(digestFile, 'utf8') || digests(builtFolder) !== digests(folder))
      throw new Error(
        'app/machines/agent/built/ is not what the sources give. Run "npm run agent" and commit its result.',
      );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function buildAll(zig: readonly string[], from: string, into: string): Promise<void> {
  await Promise.all(programs.map((program) => compile(zig, program, from, into)));
}
