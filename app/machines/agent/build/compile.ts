import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The only compiler whose output is committed: PyPI has it as the wheel `ziglang`. */
export const zigVersion = '0.17.1';

const targets = { 'agent-x64': 'x86_64-linux-musl', 'agent-arm64': 'aarch64-linux-musl' };
export type Program = keyof typeof targets;
export const programs = Object.keys(targets) as Program[];

// The compiler's own checks are left out: the tests run the agent under sanitizers instead.
const flags = ['-std=c17', '-Wall', '-Wextra', '-Werror', '-Os', '-static', '-s', '-fno-sanitize=all'];

export const builtFolder: string = fileURLToPath(new URL('../built/', import.meta.url));
export const sourceFolder: string = fileURLToPath(new URL('../source/', import.meta.url));
export const digestFile: string = join(builtFolder, 'source.sha256');

/** Returns the agent's C files, relative to their folder, in the order of compilation. */
export function sources(folder: string = sourceFolder): string[] {
  return filesOf(folder).filter((name) => name.endsWith('.c'));
}

function filesOf(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return entries.map((each) => relative(folder, join(each.parentPath, each.name))).sort();
}

/**
 * Returns the text of `source.sha256`: the hash of all that decides about the programs (source,
 * compiler, its flags), then the hash of each program in a folder.
 */
export function digests(folder: string): string {
  const source = createHash('sha256').update(JSON.stringify([zigVersion, targets, flags]));
  for (const name of filesOf(sourceFolder)) source.update(`\n${name}\n`).update(readFileSync(join(sourceFolder, name)));
  const lines = [`${source.digest('hex')}  source`];
  for (const program of programs) {
    const bytes = readFileSync(join(folder, program));
    lines.push(`${createHash('sha256').update(bytes).digest('hex')}  ${program}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Throws an Error that says what to install unless the command is the pinned compiler. */
export function checkCompiler(zig: readonly string[]): void {
  const [command = '', ...rest] = zig;
  let version: string;
  try {
    version = execFileSync(command, [...rest, 'version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch (error) {
    throw new Error(`${zig.join(' ')} does not run. ${howToInstall}`, { cause: error });
  }
  if (version !== zigVersion)
    throw new Error(`${zig.join(' ')} is version ${version}, not ${zigVersion}. ${howToInstall}`);
}

const howToInstall = `Install the compiler with "python3 -m venv dist/zig" and "dist/zig/bin/pip install ziglang==${zigVersion}".`;

/** Builds a program from a folder of sources into another. The bytes depend on no path. */
export async function compile(zig: readonly string[], program: Program, from: string, into: string): Promise<void> {
  const [command = '', ...rest] = zig;
  const args = [...rest, 'cc', '-target', targets[program], ...flags, ...sources(from), '-o', join(into, program)];
  await promisify(execFile)(command, args, { cwd: from });
}
