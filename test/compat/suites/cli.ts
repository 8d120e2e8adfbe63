import { expect } from 'chai';
import { expectSuccess, type Result, withCli } from '../command.ts';

/** Returns the ids that `sandbox list -f json` printed. */
function idsOf(result: Result): string[] {
  expectSuccess(result);
  return JSON.parse(result.stdout).map(({ sandboxId }: { sandboxId: string }) => sandboxId);
}

describe("compatibility with E2B's command line", () => {
  const { works, records, refused } = withCli();

  works('sandbox list', async ({ e2b, create }) => {
    const id = await create({ metadata: { user: 'x' } });
    const result = await e2b('sandbox', 'list');
    expectSuccess(result);
    const [head, row, ...rest] = result.stdout.trimEnd().split('\n');
    expect(head).to.match(/^SANDBOX ID +TEMPLATE ID +ALIAS +STARTED AT +END AT +STATE +VCPUS +RAM MIB/);
    expect(row?.split(/ {2,}/).slice(0, 2)).to.deep.equal([id, 'base']);
    expect(row).to.match(/ Running +2 +512 +\d+\.\d+\.\d+ +\{"user":"x"\}$/);
    expect(rest).to.deep.equal([]);
  });

  works('sandbox list --state --metadata --format json', async ({ e2b, create, pause }) => {
    const x = { metadata: { user: 'x', team: 'a' } };
    const [running, other, paused] = [await create(x), await create(), await create(x)];
    await pause(paused);
    const list = async (...flags: string[]) => idsOf(await e2b('sandbox', 'list', '-f', 'json', ...flags));
    const [plain, both, ofX] = await Promise.all([
      list(),
      list('-s', 'running,paused'),
      list('-s', 'paused,running', '-m', 'user=x,team=a'),
    ]);
    expect(plain).to.have.members([running, other]);
    expect(both).to.have.members([running, other, paused]);
    expect(ofX).to.have.members([running, paused]);
  });

  works('sandbox list --template --started-after --order --limit', async ({ app, e2b, create }) => {
    const first = await create();
    app.clock.now += 1000;
    const [second, python] = [await create(), await create({ templateID: 'python-3' })];
    const list = async (...flags: string[]) => idsOf(await e2b('sandbox', 'list', '-f', 'json', ...flags));
    const [ofTemplate, later, oldest] = await Promise.all([
      list('-t', 'python-3'),
      list('--started-after', new Date(app.clock.now).toISOString()),
      list('-o', 'asc', '-l', '1'),
    ]);
    expect(ofTemplate).to.deep.equal([python]);
    expect(later).to.have.members([second, python]);
    expect(oldest).to.deep.equal([first]);
  });

  works('sandbox info', async ({ e2b, create }) => {
    const id = await create({ metadata: { user: 'x' } });
    const [known, unknown] = await Promise.all([
      e2b('sandbox', 'info', id, '-f', 'json'),
      e2b('sandbox', 'info', 'iunknown'),
    ]);
    expectSuccess(known);
    const expected = { sandboxId: id, templateId: 'base', state: 'running', metadata: { user: 'x' } };
    expect(JSON.parse(known.stdout)).to.deep.include(expected);
    expect(unknown).to.deep.include({ code: 1, stderr: "Sandbox iunknown wasn't found\n" });
  });

  works('sandbox create --detach', async ({ e2b, stateOf }) => {
    const result = await e2b('sandbox', 'create', 'base', '-d');
    expectSuccess(result);
    expect(await stateOf(result.stdout.trim())).to.equal('running');
  });

  records('sandbox pause', async ({ e2b, create, stateOf }) => {
    const id = await create();
    expect((await e2b('sandbox', 'pause', id)).stdout).to.equal(`Sandbox ${id} has been paused\n`);
    expect(await stateOf(id)).to.equal('paused');
    expect((await e2b('sandbox', 'pause', id)).stdout).to.equal(`Sandbox ${id} is already paused\n`);
  });

  records('sandbox resume', async ({ e2b, create, pause, stateOf }) => {
    const id = await create();
    await pause(id);
    expect((await e2b('sandbox', 'resume', id)).stdout).to.equal(`Sandbox ${id} has been resumed\n`);
    expect(await stateOf(id)).to.equal('running');
  });

  records('sandbox metrics', async ({ e2b, create }) => {
    const id = await create();
    const result = await e2b('sandbox', 'metrics', id);
    expectSuccess(result);
    expect(result.stdout).to.equal(`\nMetrics for sandbox ${id}:\n`);
  });

  records('sandbox logs', async ({ e2b, create }) => {
    const id = await create();
    const result = await e2b('sandbox', 'logs', id);
    expectSuccess(result);
    expect(result.stdout).to.equal(`\nLogs for sandbox ${id}:\n`);
  });

  works('sandbox kill', async ({ e2b, create, stateOf }) => {
    const [id, other] = [await create(), await create()];
    expect((await e2b('sandbox', 'kill', id)).stdout).to.equal(`Sandbox ${id} has been killed\n`);
    expect(await stateOf(id)).to.equal(undefined);
    expect((await e2b('sandbox', 'kill', id)).stderr).to.equal(`Sandbox ${id} wasn't found\n`);
    const all = await e2b('sandbox', 'kill', '--all');
    expectSuccess(all);
    expect(all.stdout).to.equal(`Sandbox ${other} has been killed\nKilled 1 running sandboxes\n`);
  });

  records('sandbox snapshot create, list, delete', async ({ e2b, create }) => {
    const id = await create();
    const created = await e2b('sandbox', 'snapshot', 'create', id, '-n', 'mine');
    expectSuccess(created);
    const [, snapshotId = ''] = /^Created snapshot (\S+) from sandbox/.exec(created.stdout) ?? [];
    const listed = await e2b('sandbox', 'snapshot', 'list', id, '-f', 'json');
    expect(JSON.parse(listed.stdout)).to.have.nested.property('[0].snapshotId', snapshotId);
    const deleted = await e2b('sandbox', 'snapshot', 'delete', snapshotId);
    expectSuccess(deleted);
    expect(deleted.stdout).to.equal(`Snapshot ${snapshotId} has been deleted\n`);
  });

  refused('sandbox exec', async ({ e2b, create }) => {
    const { code, stdout, stderr } = await e2b('sandbox', 'exec', await create(), 'true');
    expect({ code, stdout }).to.deep.equal({ code: 1, stdout: '' });
    expect(stderr).to.match(/\[unimplemented\] \S/);
  });

  works('template list', async ({ e2b, create }) => {
    await e2b('sandbox', 'snapshot', 'create', await create(), '-n', 'mine');
    const result = await e2b('template', 'list', '-f', 'json');
    expectSuccess(result);
    const [found, ...others] = JSON.parse(result.stdout);
    expect(found).to.deep.include({ aliases: ['mine'], cpuCount: 2, memoryMB: 512 });
    expect(others).to.deep.equal([]);
  });
});
