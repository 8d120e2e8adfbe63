import { expect } from 'chai';
import { sandpit } from '../helpers/processes/process.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';

describeOnEngines('sandpit doctor --machines', (engine) => {
  const doctor = (image: string) =>
    sandpit(['doctor', '--machines', '--json', '--engine', engine().address, '--image', image]);
  // Whether microVMs run depends on this computer.
  const wrong = (output: string) =>
    (JSON.parse(output) as { check: string; problems: string[] }[])
      .filter(({ check, problems }) => check !== 'microvm' && problems.length > 0)
      .map(({ check }) => check);

  it('starts a machine, uses it and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await doctor(engine().image);
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
    expect(wrong(stdout)).to.deep.equal([]);
    expect(JSON.parse(stdout).map(({ check }: { check: string }) => check)).to.deep.equal([
      ...['microvm', 'engine', 'limits', 'restarts', 'image', 'machine', 'command', 'memory', 'processes', 'network'],
      ...['pause', 'snapshot', 'removal', 'auto'],
    ]);
    expect(await engine().ask('GET', '/containers/json?all=1')).to.deep.equal([]);
    expect(await engine().ask('GET', '/images/json?all=1')).to.have.length(2);
    const { Volumes } = (await engine().ask('GET', '/volumes')) as { Volumes: unknown[] | null };
    expect(Volumes ?? []).to.deep.equal([]);
  });

  it('finds an image that is missing, and one without bash', async () => {
    const missing = await doctor('localhost/missing:latest');
    expect(missing.code).to.equal(1);
    expect(wrong(missing.stdout)).to.deep.equal(['image']);
    const minimal = await doctor(engine().minimalImage);
    expect(minimal.code).to.equal(1);
    expect(wrong(minimal.stdout)).to.deep.equal(['command']);
  });
});
