import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { obstacle } from '../compat/machines/target.ts';
import { program, proxy, type Serving, sandpit, serve, serveTest } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { codeIn, readPage } from './marked.ts';

const run = promisify(execFile);
const hasCurl = spawnSync('curl', ['--version']).status === 0;

const skipped = obstacle === null ? '' : ` (skipped: ${obstacle})`;

type Step = { command: string; output: string };

/** Returns the commands of a page's `console` blocks, each with the output that the page shows. */
function stepsIn(page: string): Step[] {
  const blocks = [...readPage(page).matchAll(/```console\n(.*?)```/gs)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const [command = ''] = /^(?:.*\\\n)*.*/.exec(step) ?? [];
        return { command, output: step.slice(command.length).trim() };
      }),
  );
}

/** Returns the text with every id, secret, time and port replaced, and JSON in one form. */
function normal(text: string): string {
  const kinds: [RegExp, string][] = [
    [/\be2b_[0-9a-f]{12}\b/g, 'PREFIX'],
    [/\be2b_[0-9a-f]{40}\b/g, 'KEY'],
    [/\bspt_[0-9a-f]{64}\b/g, 'TOKEN'],
    [/\bwhsec_[\w+/=]+/g, 'SECRET'],
    [/…[\w+/=]{4}/g, 'HINT'],
    [/\bwhe_\w+/g, 'ENDPOINT'],
    [/\bevt_\d+/g, 'EVENT'],
    [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID'],
    [/\bi[0-9a-z]{20}\b/g, 'SANDBOX'],
    [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, 'TIME'],
    [/127\.0\.0\.1:\d+/g, 'ADDRESS'],
    [/database: \S+/g, 'database: FILE'],
    [/"pid":\d+/g, '"pid":PROCESS'],
  ];
  const form = /^[[{]/.test(text.trim()) ? JSON.stringify(JSON.parse(text)) : text;
  return kinds
    .reduce((shown, [pattern, kind]) => shown.replace(pattern, kind), form)
    .replace(/[ \n]+/g, ' ')
    .trim();
}

describe(`the sessions that the pages show${hasCurl ? '' : ' (skipped: there is no curl)'}`, () => {
  let server: Serving;
  let env: Record<string, string>;
  let directory: string;
  beforeEach(async function () {
    if (!hasCurl) this.skip();
    directory = temporaryDirectory();
    const db = join(directory, 'sandpit.db');
    server = await serve(['--db', db]);
    const [key = ''] = /e2b_[0-9a-f]{40}/.exec(server.output.stderr) ?? [];
    env = { KEY: key, SANDPIT_DB: db, PATH: `${directory}:${process.env.PATH}` };
    const script = `#!/bin/sh\nexec ${program.map((word) => `'${word}'`).join(' ')} "$@"\n`;
    writeFileSync(join(directory, 'sandpit'), script, { mode: 0o755 });
  });
  afterEach(() => server?.stop());

  /** Runs a command of a page against the server, and compares the output with the page's. */
  async function follow({ command, output }: Step): Promise<void> {
    const here = command
      .replaceAll('http://127.0.0.1:3000', server.url)
      .replace('password=...', 'password=correct horse')
      .replace(/ \| jq$/, '');
    const { stdout, stderr } = await run('sh', ['-c', here], { env });
    expect(normal(stdout + stderr), command).to.equal(normal(output));
  }

  /** Runs an example of E2B's JavaScript SDK against a server. Returns what it printed. */
  async function runExample(code: string | undefined, { url }: Serving): Promise<string> {
    const variables = { E2B_API_KEY: env.KEY, E2B_API_URL: url, E2B_SANDBOX_URL: url };
    const args = ['--input-type=module', '--eval', code ?? ''];
    return (await run(process.execPath, args, { env: { ...env, ...variables } })).stdout;
  }

  it('README.md: the first start and the first session', async () => {
    const [start, ...steps] = stepsIn('README.md');
    // The link to the console is for a terminal, which no test has.
    const shown = (start?.output ?? '').replace(/See it in a browser.*?#link=[\w-]+/s, '');
    expect(normal(server.output.stderr)).to.equal(normal(shown));
    expect(steps).to.have.length(2);
    for (const step of steps) await follow(step);
  });

  it("COMPATIBILITY.md: the example of E2B's JavaScript SDK", async () => {
    const [example, ...others] = codeIn('COMPATIBILITY.md', 'js');
    expect(others).to.deep.equal([]);
    expect(await runExample(example, server)).to.contain("metadata: { env: 'dev' }");
  });

  it(`README.md: a command in a machine${skipped}`, async function () {
    if (obstacle !== null) this.skip();
    const flags = ['--db', join(directory, 'machines.db'), '--api-key', env.KEY ?? '', '--machines', 'process'];
    const machines = await serve(flags);
    const [example, ...others] = codeIn('README.md', 'js');
    expect(others).to.deep.equal([]);
    expect(await runExample(example, machines)).to.equal('42\n\n');
    await machines.stop();
  });

  it('OPERATING.md: a token, events, ending what was left behind, a webhook', async () => {
    await sandpit(['users', 'create', 'alice', '--password'], { env, input: 'correct horse\n' });
    const session = '{"snapshot_id": "snap2", "vm_lifetime_seconds": 600}';
    await run('curl', ['-s', '-H', `X-API-Key: ${env.KEY}`, '--json', session, `${server.url}/v1/vms`]);
    const file = join(directory, 'left.jsonl');
    const left = { sandbox_id: 'ic2o3wip9aw6smceq9f52', owner: 'admin', metadata: { env: 'dev' }, status: 'active' };
    const steps = stepsIn('OPERATING.md');
    expect(steps).to.have.length(5);
    for (const step of steps) {
      // The sandboxes of a first session are too young: this one has run for a second.
      if (step.command.includes('dry_run')) {
        writeFileSync(file, JSON.stringify({ ...left, started_at: new Date(Date.now() - 60_000).toISOString() }));
        await sandpit(['import', file], { env });
      }
      await follow(step);
    }
  });

  it('CONTRACT-TESTING.md: the line of a server for tests', async () => {
    const test = await serveTest();
    const shown = stepsIn('CONTRACT-TESTING.md').find(({ command }) => command === 'sandpit serve --test');
    expect(normal(test.output.stdout)).to.equal(normal(shown?.output ?? ''));
    await test.closeStdin();
  });

  it('CONTRACT-TESTING.md: the breaches that the proxy reports, and its summary', async () => {
    const watching = await proxy(['--target', server.url]);
    const shown = stepsIn('CONTRACT-TESTING.md').find(({ command }) => command.startsWith('sandpit proxy'));
    const key = { 'X-API-Key': env.KEY ?? '' };
    const list = `${watching.url}/v1/sessions/sandboxes`;
    await fetch(list, { headers: key });
    await fetch(`${list}?limit=0`, { headers: key });
    await fetch(`${list}?metadata=[1]`, { headers: key });
    await fetch(`${watching.url}/v1/vms`, { method: 'POST' });
    await fetch(list, { headers: key });
    await watching.stop('SIGINT');
    const printed = watching.output.stderr + watching.output.stdout;
    const lines = (text: string) =>
      text
        .split('\n')
        .map(normal)
        .filter((line) => !/^(\^C)?$/.test(line))
        .sort();
    expect(lines(printed)).to.deep.equal(lines(shown?.output ?? ''));
  });
});
