import { expect } from 'chai';
import { eachSdk, rejection } from '../sdk.ts';

describe("compatibility with E2B's SDK: the machine in a sandbox", () => {
  const { records, refused, local } = eachSdk();

  records('getMetrics', async ({ Sandbox, sdk, start }) => {
    const sandbox = await Sandbox.create();
    // No machine, no samples.
    expect(await sandbox.getMetrics()).to.deep.equal([]);
    const between = { start: new Date(start - 1000), end: new Date(start) };
    expect(await Sandbox.getMetrics(sandbox.sandboxId, between)).to.deep.equal([]);
    expect(await rejection(Sandbox.getMetrics('iunknown'))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  records('updateNetwork', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create({ network: { allowOut: ['1.1.1.1'], allowPublicTraffic: false } });
    await sandbox.updateNetwork({ denyOut: ['10.0.0.0/8'], allowInternetAccess: false });
    const { network, allowInternetAccess } = await sandbox.getInfo();
    expect(network).to.deep.include({ denyOut: ['10.0.0.0/8'], allowPublicTraffic: false });
    expect(network?.allowOut ?? []).to.deep.equal([]);
    expect(allowInternetAccess).to.equal(false);
    expect(await rejection(Sandbox.updateNetwork('iunknown', {}))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  refused('commands.run', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.commands.run('true'));
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^12: \[unimplemented\] \S/);
    await sandbox.kill();
    expect(await rejection(sandbox.commands.run('true'))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  refused('commands.list', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.commands.list());
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^12: \[unimplemented\] \S/);
  });

  refused('pty.create', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.pty.create({ cols: 80, rows: 24, onData: () => {} }));
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^12: \[unimplemented\] \S/);
  });

  refused('files.read', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.files.read('/etc/hostname'));
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^501: \S/);
  });

  refused('files.write', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.files.write('/tmp/a', 'text'));
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^501: \S/);
  });

  refused('files.list', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const error = await rejection(sandbox.files.list('/'));
    expect(error.name).to.equal('SandboxError');
    expect(error.message).to.match(/^12: \[unimplemented\] \S/);
  });

  local('getHost', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const connected = await Sandbox.connect(sandbox.sandboxId);
    const [fork] = await sandbox.fork();
    if (!fork || fork instanceof Error) throw new Error('it was not forked');
    // Nobody has this name (RFC 6761, 6.4): without one the SDK takes E2B's own.
    for (const each of [sandbox, connected, fork])
      expect(each.getHost(3000)).to.equal(`3000-${each.sandboxId}.sandpit.invalid`);
  });

  for (const name of ['uploadUrl', 'downloadUrl'] as const) {
    local(name, async ({ Sandbox, withoutSandboxUrl, url }) => {
      const sandbox = await Sandbox.create();
      const address = await sandbox[name]('/tmp/a');
      expect(address.startsWith(`${url}/files?`), address).to.equal(true);
      const answer = await fetch(address, name === 'uploadUrl' ? { method: 'POST', body: 'text' } : {});
      expect(answer.status).to.equal(501);
      expect(((await answer.json()) as { message: string }).message).to.match(/runs no machines/);
      const elsewhere = await withoutSandboxUrl.create();
      const { hostname } = new URL(await elsewhere[name]('/tmp/a'));
      expect(hostname).to.equal(`49983-${elsewhere.sandboxId}.sandpit.invalid`);
    });
  }
});
