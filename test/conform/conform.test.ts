import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Report } from '../../app/conform/report/report.ts';
import { rules } from '../../app/conform/rules/all.ts';
import { closeNow, freePort, listen } from '../helpers/listen.ts';
import { type Result, type Serving, sandpit, serve, start } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { mutants } from '../mutants/all.ts';
import { type Mutant, serveMutant } from '../mutants/mutant.ts';

const apiKey = `e2b_${'5'.repeat(40)}`;

/** Returns standard error without the notice that a slow clean-up prints on a busy machine. */
function withoutProgress(stderr: string): string {
  return stderr.replace(/^Ending \d+ sandboxes.*\n/, '');
}

describe('sandpit conform', () => {
  let server: Serving;
  let second: string;
  let dir: string;
  before(async () => {
    dir = temporaryDirectory();
    const db = join(dir, 'sandpit.db');
    server = await serve(['--db', db, '--log-level', 'silent'], { env: { SANDPIT_API_KEY: apiKey } });
    await sandpit(['users', 'create', 'bob', '--db', db]);
    second = (await sandpit(['keys', 'create', '--user', 'bob', '--db', db])).stdout.trim();
  });
  after(() => server.stop());

  const env = { SANDPIT_CONFORM_API_KEY: apiKey };
  const conform = async (url: string, ...args: string[]) => {
    const result = await sandpit(['conform', '--url', url, ...args], { env });
    // Whether the message appears depends on the speed of the machine.
    return { ...result, stderr: result.stderr.replace(/^ending \d+ sandboxes, .*\n/, '') };
  };
  const ask = async (method: string, where: string, body?: object) => {
    const headers = { 'X-API-Key': apiKey, 'Content-Type': 'application/json' };
    return (
      await fetch(`${server.url}${where}`, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    ).json();
  };
  const running = async () => ((await ask('GET', '/v1/vms')) as { vm_id: string }[]).map(({ vm_id }) => vm_id);

  /**
   * Runs `work` with the URL of a server that forwards everything, or that answers as the mutant
   * does.
   */
  async function between<T>(
    work: (url: string) => Promise<T>,
    onRequest = (_method: string, _path: string) => {},
    mutant?: Mutant,
  ) {
    const proxy = await serveMutant(server.url, { own: apiKey, other: second }, onRequest, mutant);
    try {
      return await work(proxy.url);
    } finally {
      proxy.close();
    }
  }

  it('passes against Sandpit, kills exactly the sandboxes it created, and prints no key', async () => {
    const { vm_id: own } = (await ask('POST', '/v1/vms', {})) as { vm_id: string };
    const given = ['--sandboxes', '101', '--bearer', apiKey, '--second-api-key', second];
    const { code, stdout, stderr } = await conform(server.url, ...given);
    expect(withoutProgress(stderr)).to.equal('');
    expect(code).to.equal(0);
    expect(stdout).to.match(/^pass {2}limit-exact +limit=n gives the first n/m);
    expect(stdout).to.contain(`\n${rules.length} passed, 0 failed, 0 skipped; seed `);
    expect(stdout).not.to.contain('\u001b');
    expect(stdout).not.to.match(/e2b_/);
    expect(await running()).to.deep.equal([own]);
    await ask('DELETE', `/v1/vms/${own}`);
  });

  it('reports the request, the expectation and the response of a failure, and lists the failed rules at the end', async () => {
    const mutant = mutants.find(({ name }) => name === 'filter as OR');
    const { code, stdout, stderr } = await between(
      (url) => conform(url, '--rule', 'filter-all-pairs'),
      undefined,
      mutant,
    );
    expect(code).to.equal(1);
    expect(withoutProgress(stderr)).to.match(/^sandpit: http:\S+ breaks the contract: filter-all-pairs\n$/);
    expect(stdout).to.match(/^FAIL {2}filter-all-pairs/m);
    expect(stdout).to.match(/^ {6}request {3}curl -i -H "X-API-Key: \$API_KEY" 'http:\S+metadata=%7B\S+'$/m);
    expect(stdout).to.contain(
      'expected  the sandboxes that contain {"env":"dev","userId":"123"}: {"env":"dev","userId":"123","team":"blue"',
    );
    expect(stdout).to.contain('contract  "Filters using @> (contains) operator for GIN-indexed queries."');
    expect(stdout).to.match(/got {7}listed though it doesn't contain it: \{/);
    expect(stdout).to.match(/^ {16}200 \[\{/m);
    expect(stdout).to.match(/\n0 passed, 1 failed, 0 skipped/);
    expect(await running()).to.deep.equal([]);
  });

  it('prints a request that fails the same way in a shell', async () => {
    const mutant = mutants.find(({ name }) => name === 'above 512 refused');
    const again = async (url: string) => {
      const { stdout } = await conform(url, '--rule', 'generated-valid', '--json', '--seed', '1');
      const { failure } = (JSON.parse(stdout) as Report).results[0] ?? {};
      const [, found = ''] = /'(http[^']+)'$/.exec(failure?.request ?? '') ?? [];
      return (await fetch(found, { headers: { 'X-API-Key': apiKey } })).status;
    };
    expect(await between(again, undefined, mutant)).to.equal(422);
  });

  it('masks a credential that the server echoes', async () => {
    const echo = createServer((req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ key: req.headers['x-api-key'] }));
    });
    const port = await listen(echo);
    const junit = join(dir, 'echo.xml');
    const { code, stdout } = await conform(
      `http://127.0.0.1:${port}`,
      '--existing',
      '--rule',
      'list-array',
      '--junit',
      junit,
    );
    echo.closeAllConnections();
    echo.close();
    expect(code).to.equal(1);
    expect(stdout).to.contain('{"key":"[credential]"}');
    expect(stdout + readFileSync(junit, 'utf8')).not.to.contain(apiKey);
  });

  it('--json prints one document, --junit writes a file, --seed makes a run repeatable', async () => {
    const junit = join(dir, 'conform.xml');
    const { code, stdout } = await conform(server.url, '--json', '--junit', junit, '--seed', '42');
    expect(code).to.equal(0);
    const report = JSON.parse(stdout) as Report & { passed: boolean };
    expect(report).to.include({ passed: true, seed: 42, error: null, url: server.url });
    expect(report.results.map(({ id }) => id)).to.deep.equal(rules.map(({ id }) => id));
    const skipped = report.results.filter(({ outcome }) => outcome === 'skip');
    // Whether `limit-default` has enough sandboxes depends on the account's history.
    expect(skipped.map(({ id }) => id).filter((id) => id !== 'limit-default')).to.deep.equal([
      'limit-above-default',
      'bearer',
      'isolation-list',
      'isolation-filter',
    ]);
    for (const { why } of skipped) expect(why).to.be.a('string').and.not.equal('');
    const xml = readFileSync(junit, 'utf8');
    expect(xml).to.contain(` tests="${rules.length}" failures="0" skipped="${skipped.length}" errors="0"`);
    expect(xml.match(/<testcase /g)).to.have.length(rules.length);
    const methods: string[][] = [[], []];
    for (const seen of methods) {
      const note = (method: string, where: string) => seen.push(`${method} ${where.replace(/conform_run[^,]*/, '')}`);
      await between((url) => conform(url, '--rule', 'generated-any', '--seed', '7'), note);
    }
    const made = (seen: string[] = []) => seen.filter((line) => line.startsWith('GET'));
    expect(made(methods[0])).to.deep.equal(made(methods[1]));
  });

  it('--existing sends only reads', async () => {
    const { vm_id: one } = (await ask('POST', '/v1/vms', { metadata: { a: 'x', b: { c: [1, 2] } } })) as {
      vm_id: string;
    };
    await ask('POST', '/v1/vms', { metadata: { a: 'X', b: { c: [2, 1, 3] } } });
    const methods = new Set<string>();
    const { code, stdout } = await between(
      (url) => conform(url, '--existing'),
      (method) => methods.add(method),
    );
    expect(code, stdout).to.equal(0);
    expect([...methods]).to.deep.equal(['GET']);
    expect(stdout).to.match(/^pass {2}filter-case /m);
    expect(stdout).to.match(/^pass {2}filter-array-any-order /m);
    expect(stdout).to.match(/^skip {2}metadata-kept .*leave --existing out$/m);
    expect(await running()).to.include(one);
    for (const id of await running()) await ask('DELETE', `/v1/vms/${id}`);
  });

  it('creates sandboxes through sessions when there is no POST /v1/vms', async () => {
    const seen: string[] = [];
    const proxy = createServer(async (req, res) => {
      seen.push(`${req.method} ${req.url?.split('?')[0]}`);
      if (req.url?.startsWith('/v1/vms')) return void res.writeHead(404).end('{}');
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(chunk);
      const headers = { 'content-type': 'application/json', ...(req.headers['x-api-key'] && { 'x-api-key': apiKey }) };
      const body = chunks.length > 0 ? { body: Buffer.concat(chunks) } : {};
      const answer = await fetch(`${server.url}${req.url}`, { method: req.method ?? 'GET', headers, ...body });
      res.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
    });
    const port = await listen(proxy);
    const { code, stdout } = await conform(`http://127.0.0.1:${port}`, '--rule', 'metadata-kept', 'killed-listed');
    closeNow(proxy);
    expect(code, stdout).to.equal(0);
    expect(seen.filter((line) => line === 'POST /v1/sessions/session')).to.have.length(12);
    expect(seen.filter((line) => line === 'POST /kill')).to.have.length(12);
    expect(stdout).not.to.contain(apiKey);
    expect(await running()).to.deep.equal([]);
  });

  for (const [when, isMoment] of [
    ['while it makes them', (method: string, seen: number) => method === 'POST' && seen === 5],
    ['while it asks', (_method: string, seen: number) => seen === 40],
  ] as const) {
    it(`kills its sandboxes when interrupted ${when}`, async () => {
      let seen = 0;
      const run = async (url: string) => {
        child = start(['conform', '--url', url], { env, cwd: '/' });
        let stdout = '';
        child.stdout?.on('data', (chunk) => {
          stdout += chunk;
        });
        const [code] = await once(child, 'close');
        return { code, stdout };
      };
      let child: ReturnType<typeof start> | undefined;
      const { code, stdout } = await between(run, (method) => {
        if (isMoment(method, seen++)) child?.kill('SIGINT');
      });
      expect(code).to.equal(130);
      expect(stdout).to.match(/\ninterrupted\n\d+ passed, 0 failed/);
      expect(await running()).to.deep.equal([]);
    });
  }

  it('keeps within --max-requests', async () => {
    const { code, stdout } = await conform(server.url, '--max-requests', '30', '--json');
    const { results, requests } = JSON.parse(stdout) as Report;
    expect(code).to.equal(0);
    // Killing the created sandboxes does not count.
    expect(requests).to.equal(30 + 12);
    expect(results.at(-1)).to.include({ outcome: 'skip', why: 'the 30 requests of --max-requests are used up' });
    expect(await running()).to.deep.equal([]);
  });

  it('reports bad arguments and an unreachable server in one line', async () => {
    const port = await freePort();
    const cases: [Promise<Result>, RegExp][] = [
      [conform(`http://127.0.0.1:${port}`), /failed: ECONNREFUSED/],
      [conform(server.url, '--api-key', 'wrong'), /answered 401: is the credential right\?/],
      [
        conform(server.url, '--second-api-key', 'wrong'),
        /answered 401: is the credential right\? \(--second-api-key\)/,
      ],
      [
        conform(server.url, '--second-api-key', apiKey),
        /--second-api-key must belong to another account than --api-key/,
      ],
      [conform(`${server.url}/nowhere`), /answered 404: is this the right --url\?/],
      [conform('http://me:secret@127.0.0.1:1'), /^sandpit: --url must not contain a user name or password\n$/],
      [conform('ftp://x'), /--url must be an http or https URL/],
      [conform(server.url, '--rule', 'nonsense'), /there is no rule nonsense: --list-rules/],
      [conform(server.url, '--rule', 'isolation-list'), /nothing could be tested: every rule was skipped/],
      [conform(server.url, '--api-key', 'clé'), /--api-key can't be sent/],
      [sandpit(['conform', '--api-key', 'x']), /--url or SANDPIT_CONFORM_URL/],
      [sandpit(['conform', '--url', server.url]), /--api-key or SANDPIT_CONFORM_API_KEY/],
    ];
    for (const [result, message] of cases) {
      const { code, stderr } = await result;
      expect(code).to.equal(1);
      expect(stderr).to.match(message);
      expect(stderr).to.match(/^sandpit: .+\n$/);
    }
    const { code, stderr } = await conform(server.url, '--seed', '-1');
    expect(code).to.equal(1);
    expect(stderr).to.match(/must be a whole number from 0/);
  });

  it("--documented-only skips rules without a documented source; --list-rules prints each rule's source", async () => {
    const { stdout } = await sandpit(['conform', '--list-rules', '--documented-only']);
    expect(stdout).to.contain('\nlimit-exact\n    limit=n gives');
    expect(stdout).not.to.contain("Sandpit's reading");
    expect(stdout).not.to.contain('order-newest-first');
  });
});
