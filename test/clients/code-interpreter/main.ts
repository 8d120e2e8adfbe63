import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { keepPart } from '../../docs/marked.ts';
import { killRunning, sandpit, serve } from '../../helpers/processes/process.ts';
import { preparePython } from '../../helpers/python.ts';
import { codeArchive } from '../../machines/engines/code-archive.ts';
import { type EngineName, startEngine, type TestEngine } from '../../machines/engines/engines.ts';
import { type Case, problemWith, type Said } from './cases.ts';

/**
 * `npm run judge:code-interpreter`: E2B's published packages for code interpreters, unmodified, run
 * the cases of cases.json on Docker and Podman, or the engines that TEST_ENGINES names. All must
 * say the same. The template is built by `sandpit templates build`, from an image that has already
 * what the template adds. `--write` writes the table to COMPATIBILITY.md.
 */
const here = fileURLToPath(new URL('.', import.meta.url));
const names = (process.env.TEST_ENGINES ?? 'docker,podman').split(',') as EngineName[];
const cases = JSON.parse(readFileSync(`${here}cases.json`, 'utf8')) as Case[];
const apiKey = `e2b_${'7'.repeat(40)}`;
const template = 'code-interpreter-v1';

type Line = { case: string; step: number; outcome: Said };
type Client = { name: string; args: string[] };

function clients(): Client[] {
  const python = (version: string) =>
    preparePython(`code-interpreter-${version}`, `${here}requirements-${version}.txt`);
  return [
    ...['2.10.5', '2.11.5'].flatMap((version) =>
      ['sync', 'async'].map((kind) => ({
        name: `Python ${version} ${kind}`,
        args: [python(version), 'runner.py', kind, template],
      })),
    ),
    { name: 'JavaScript 2.8.0', args: [process.execPath, 'runner.ts', template] },
  ];
}

async function linesOf({ args: [program = '', ...args] }: Client, url: string): Promise<Line[]> {
  const env = {
    PATH: process.env.PATH,
    PYTHONDONTWRITEBYTECODE: '1',
    E2B_API_KEY: apiKey,
    E2B_API_URL: url,
    E2B_SANDBOX_URL: url,
  };
  const child = spawn(program, args, { cwd: here, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  // Not by readline, for which U+2028 ends a line.
  const lines = (await text(child.stdout)).trimEnd().split('\n');
  const [code] = await ended;
  if (code !== 0) throw new Error(`${args[0]} ended with status ${code}`);
  return lines.map((line) => JSON.parse(line));
}

/** Returns the failures of a client, and of what it says differently from the first one. */
function failuresOf(lines: Line[], first: Line[]): string[] {
  return cases.flatMap(({ name, steps }) =>
    steps.flatMap((step, number) => {
      const said = (all: Line[]) => all.find((line) => line.case === name && line.step === number)?.outcome;
      const [own, other] = [said(lines), said(first)];
      if (!own) return [`${name}, step ${number + 1}: no answer`];
      const problem = problemWith(step, own);
      if (problem !== null) return [`${name}, step ${number + 1}: ${problem}`];
      return comparable(own) === comparable(other)
        ? []
        : [`${name}, step ${number + 1}: ${difference(comparable(own), comparable(other))}`];
    }),
  );
}

/** The words of what clients throw are their own, and tracebacks count executions. */
function comparable(said: Said | undefined): string {
  const { words: _words, error, ...rest } = said ?? {};
  const traceback = error?.traceback.replace(/(In\[|<cell )\d+/g, '$1');
  return JSON.stringify(inOrder({ ...rest, error: error && { ...error, traceback } }));
}

/** Returns the value with the members of its objects by name: their order says nothing. */
function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(inOrder);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, each]) => [name, inOrder(each)]));
}

/** Returns in words where two texts differ. */
function difference(own: string, other: string): string {
  let at = 0;
  while (own[at] === other[at]) at++;
  const from = Math.max(0, at - 100);
  return `${own.slice(from, at + 300)} is not ${other.slice(from, at + 300)}`;
}

async function judge(engine: TestEngine): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-code-'));
  const image = await engine.add(codeArchive(), 'localhost/sandpit-code');
  const machines = ['--machines', 'docker', '--engine', engine.address, '--image', image];
  const server = await serve([
    '--db',
    join(directory, 'sandpit.db'),
    '--api-key',
    apiKey,
    '--log-level',
    'error',
    ...machines,
  ]);
  const built = await sandpit([
    'templates',
    'build',
    'code-interpreter',
    '--url',
    server.url,
    '--api-key',
    apiKey,
    '--from',
    image,
  ]);
  if (built.code !== 0) throw new Error(`the template was not built: ${built.stderr}`);
  let passed = true;
  const all = clients();
  const outcomes = await Promise.all(all.map((client) => linesOf(client, server.url)));
  for (const [n, client] of all.entries()) {
    const failures = failuresOf(outcomes[n] as Line[], outcomes[0] as Line[]);
    for (const failure of failures) console.log(`${client.name}: ${failure}`);
    console.log(`${engine.engine}, ${client.name}: ${cases.length} cases, ${failures.length} failures`);
    passed &&= failures.length === 0;
  }
  await server.stop();
  rmSync(directory, { recursive: true });
  return passed;
}

async function main(): Promise<number> {
  let passed = true;
  for (const name of names) {
    const engine = await startEngine(name);
    try {
      passed = (await judge(engine)) && passed;
    } finally {
      killRunning();
      await engine.stop();
    }
  }
  if (passed) {
    const list = cases.map(({ name }) => `- ${name}`).join('\n');
    keepPart({ page: 'COMPATIBILITY.md', name: 'code interpreter' }, list);
  }
  return passed ? 0 : 1;
}

process.exitCode = await main();
