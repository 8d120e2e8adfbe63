import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { commandsOn, importLine } from '../helpers/processes/commands.ts';
import { sandpit } from '../helpers/processes/process.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('import and export', () => {
  let db: string;
  let dir: string;
  beforeEach(async () => {
    dir = temporaryDirectory();
    db = join(dir, 'sandpit.db');
    await runs('users', 'create', 'alice');
  });

  const { run, runs, fails } = commandsOn(() => db);

  it('transfer every sandbox unchanged, with env and settings only on request', async () => {
    const settings = { autoResume: true, network: { rules: { a: [{ transform: { headers: { token: 'hush' } } }] } } };
    const resumed = { on_timeout: 'pause', first_started_at: '2025-01-01T12:00:00.000Z', settings };
    const lines = [
      importLine({ sandbox_id: 'a', metadata: { deep: [{ x: null }] }, env: { TOKEN: 'hush' } }),
      importLine({ sandbox_id: 'b', started_at: '2025-01-02T00:00:00.000Z', status: 'killed', template_id: 'snap' }),
      importLine({ sandbox_id: 'c', started_at: '2025-01-03T00:00:00.000Z', status: 'paused', end_at: null }),
      importLine({ sandbox_id: 'd', started_at: '2025-01-04T00:00:00.000Z', ...resumed }),
      importLine({
        sandbox_id: 'e',
        started_at: '2025-01-05T00:00:00.000Z',
        end_at: '2099-01-01T00:00:00.000Z',
        ...resumed,
      }),
    ].join('');
    const exact = lines.replace('"x":null', '"x":12345678901234567890');
    const file = join(dir, 'five.jsonl');
    writeFileSync(file, exact);
    const result = await run('import', file);
    expect(result.stderr).to.equal('Imported 5 sandboxes.\n');
    expect(await runs('export')).not.to.contain('hush');
    const exported = await runs('export', '--include-env');
    expect(exported).to.contain('12345678901234567890');
    const sorted = (text: string) =>
      text
        .trim()
        .split('\n')
        .map((json) => Object.entries(JSON.parse(json)).sort());
    const back = join(dir, 'back.db');
    await sandpit(['users', 'create', 'alice', '--db', back]);
    await sandpit(['import', '-', '--db', back], { input: exported });
    expect((await sandpit(['export', '--include-env', '--db', back])).stdout).to.equal(exported);
    expect(sorted(exported)[1]).to.deep.include(['status', 'killed']);
    const [paused, running] = sorted(exported)
      .slice(3)
      .map((entries) => Object.fromEntries(entries));
    expect(paused).to.deep.include({ ...resumed, status: 'paused', end_at: '2025-01-01T00:05:00.000Z' });
    expect(running).to.deep.include({ ...resumed, status: 'active', end_at: '2099-01-01T00:00:00.000Z' });
  });

  it('import and export omit the secrets of an egress proxy; export omits unknown members of network rules too', async () => {
    const rules = { a: [{ transform: { headers: { b: 'c' } } }] };
    const proxy = { address: 'proxy:1080', password: 'hush', tls: { enabled: true, caCert: 'pem' } };
    const line = importLine({ settings: { autoResume: true, network: { rules, egressProxy: proxy } } });
    await sandpit(['import', '-', '--db', db], { input: line });
    expect(await runs('export', '--include-env')).not.to.match(/hush|pem/);
    const spoilt = {
      autoResume: true,
      network: { rules: { ...rules, k: null }, egressProxy: { ...proxy, x: 1 }, foo: 1 },
    };
    const sqlite = new Database(db);
    sqlite.prepare('update sandboxes set settings = ?').run(JSON.stringify(spoilt));
    sqlite.close();
    const exported = await runs('export', '--include-env');
    const egressProxy = { address: 'proxy:1080', tls: { enabled: true } };
    const expected = { autoResume: true, network: { rules, egressProxy } };
    expect(JSON.parse(exported).settings).to.deep.equal(expected);
    const back = join(dir, 'back.db');
    await sandpit(['users', 'create', 'alice', '--db', back]);
    expect((await sandpit(['import', '-', '--db', back], { input: exported })).stderr).to.contain('Imported 1 sandbox');
  });

  it('doctor finds no error after an import of older sandboxes', async () => {
    const input = [3, 1, 2].map((n) =>
      importLine({ sandbox_id: `s${n}`, started_at: `2025-01-0${n}T00:00:00Z`, metadata: { n } }),
    );
    await sandpit(['import', '-', '--db', db], { input: input.join('') });
    expect(await runs('doctor')).to.contain('metadata index: ok, it matches all 3 sandboxes\n');
  });

  it('import applies all lines or none, and names the bad line', async () => {
    const wrong: [string, string][] = [
      ['not json', 'Expecting value'],
      [importLine({ sandbox_id: 'A B' }), "sandbox_id: String should match pattern '^[a-z0-9-]{1,64}$'"],
      [importLine({ sandbox_id: 'good' }), 'a sandbox good exists already'],
      [importLine({ sandbox_id: 'x', owner: 'bob' }), 'there is no user named bob'],
      [importLine({ sandbox_id: 'x', status: 'gone' }), "status: Input should be 'active',"],
      [importLine({ sandbox_id: 'x', started_at: 'yesterday' }), 'started_at: must match format "date-time"'],
      [importLine({ sandbox_id: 'x', metadata: { a: 'x'.repeat(65_536) } }), 'metadata takes'],
      [importLine({ sandbox_id: 'x', extra: 1 }), 'extra: Extra inputs are not permitted'],
      [importLine({ sandbox_id: 'x', end_at: '2016-12-31T23:59:60Z' }), 'end_at: must match format "date-time"'],
      [
        importLine({ sandbox_id: 'x' }).replace('"metadata":{}', '"metadata":12345678901234567890'),
        'metadata: Input should be a valid dictionary',
      ],
      [
        importLine({ sandbox_id: 'x', env: 5 }).replace('"env":5', '"env":12345678901234567890'),
        'env: Input should be a valid dictionary',
      ],
    ];
    for (const [text, reason] of wrong) {
      const { code, stderr } = await sandpit(['import', '-', '--db', db], {
        input: `${importLine({ sandbox_id: 'good' })}\n${text}`,
      });
      expect(code).to.equal(1);
      expect(stderr)
        .to.match(/^sandpit: nothing was imported: line 3: /)
        .and.contain(reason);
    }
    expect(await runs('export')).to.equal('');
    expect(await fails('import', join(dir, 'missing.jsonl'))).to.contain('no such file');
  });

  it('export ends quietly when its reader closes the pipe', async () => {
    const input = Array.from({ length: 3000 }, (_, n) => importLine({ sandbox_id: `s${n}` })).join('');
    await sandpit(['import', '-', '--db', db], { input });
    const main = new URL('../../app/main.ts', import.meta.url).pathname;
    const shell = spawnSync('sh', ['-c', `"${process.execPath}" "${main}" export --db "${db}" | head -n 1`], {
      encoding: 'utf8',
    });
    expect(shell.stdout.split('\n')).to.have.length(2);
    expect(shell.stderr).to.equal('');
  });
});
