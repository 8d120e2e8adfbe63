import { chmodSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { findMsb } from '../../../app/machines/microvm/runtime/find.ts';
import { whyNot } from '../../../app/machines/microvm/why-not.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { FakeMsb } from './fake-msb.ts';

const onLinux = process.platform === 'linux' ? it : it.skip;

describe('microVMs', () => {
  let directory: string;
  let msb: FakeMsb;
  let device: string;

  beforeEach(() => {
    directory = temporaryDirectory();
    msb = new FakeMsb(directory);
    msb.answer('--version', { out: 'msb 0.7.11' });
    device = join(directory, 'kvm');
    writeFileSync(device, '');
  });

  const reason = (setting: string | undefined = msb.path) => whyNot(setting, { PATH: process.env.PATH }, { device });

  it('use the program that the setting names, else the first in PATH', () => {
    const empty = temporaryDirectory();
    expect(findMsb(undefined, { PATH: `relative:${empty}:${directory}` })).to.equal(msb.path);
    expect(findMsb(msb.path, { PATH: '' })).to.equal(msb.path);
    expect(findMsb(join(directory, 'kvm'), { PATH: directory })).to.equal(null);
    expect(findMsb(directory, {})).to.equal(null);
  });

  onLinux('run where a small one boots, of which nothing is left', async () => {
    expect(await reason()).to.equal(null);
    const [version, doctor, create, remove] = msb.calls;
    expect([version, doctor]).to.deep.equal(['--version', 'doctor']);
    expect(create).to.match(/^create -q --name sandpit-probe --memory 128M --cpus 1 --no-net \/.*\/root$/);
    expect(remove).to.equal('remove -f sandpit-probe');
  });

  onLinux('do not run, and it says why, for each thing that can be missing', async () => {
    msb.answer('create', { err: 'error: failed to start "sandpit-probe"\n', code: 1 });
    expect(await reason()).to.equal('microsandbox could not boot a machine: failed to start "sandpit-probe"');
    msb.answer('doctor', { err: '  ✓ msb\nerror: CPU virtualization is not available\n  → no vmx\n', code: 1 });
    expect(await reason()).to.equal(
      'microsandbox could not find virtualization: CPU virtualization is not available; no vmx',
    );
    msb.answer('--version', { out: 'msb 0.6.8' });
    expect(await reason()).to.match(/^microsandbox 0\.6\.8 is too old/);
    expect(await reason('/nowhere/msb')).to.equal('--msb names /nowhere/msb, which is no program');
    device = join(directory, 'missing');
    expect(await reason()).to.match(/^there is no .*missing: turn virtualization on/);
  });

  onLinux(
    'are tried once until the program changes, after a failure once an hour, and each time without a memory',
    async () => {
      const memory = join(directory, 'microvms', 'trial.json');
      const env = { PATH: process.env.PATH };
      const ask = async () => [await whyNot(msb.path, env, { device, memory }), msb.callsOf('create').length];
      msb.answer('create', { err: 'error: no luck\n', code: 1 });
      const failure = 'microsandbox could not boot a machine: no luck';
      expect([await ask(), await ask()]).to.deep.equal([
        [failure, 1],
        [failure, 1],
      ]);
      const { at, ...trial } = JSON.parse(readFileSync(memory, 'utf8'));
      writeFileSync(memory, JSON.stringify({ ...trial, at: at - 3_600_000 }));
      msb.answer('create', {});
      expect([await ask(), await ask()]).to.deep.equal([
        [null, 2],
        [null, 2],
      ]);
      utimesSync(msb.path, 1, 1);
      expect(await ask()).to.deep.equal([null, 3]);
      writeFileSync(memory, 'no JSON');
      expect(await ask()).to.deep.equal([null, 4]);
      expect([await reason(), msb.callsOf('create').length]).to.deep.equal([null, 5]);
    },
  );

  onLinux('do not run for a user who may not open the device', async function () {
    if (process.getuid?.() === 0) this.skip();
    chmodSync(device, 0);
    expect(await reason()).to.match(/^this user may not open .*: add it to the group kvm/);
  });
});
