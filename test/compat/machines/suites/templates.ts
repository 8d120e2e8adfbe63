import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { temporaryDirectory } from '../../../helpers/server.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, type Session } from '../session.ts';

/** Returns the SDK's templates, bound to the server and to the key of `admin`. */
function templatesOf({ sdk, key, url }: Session) {
  return new sdk.E2B({ apiKey: key, apiUrl: url, sandboxUrl: url }).Template;
}

const newName = () => `built-${randomUUID()}`;

describe("E2B's SDK on machines: templates from code", () => {
  const { works } = eachSdkOnMachines();

  works('Template.build', async (session) => {
    const Template = templatesOf(session);
    const name = newName();
    const said: string[] = [];
    // Of its own, so that no step is kept from an earlier test.
    const word = randomUUID();
    const template = Template().fromTemplate('base').setEnvs({ WORD: word }).runCmd('echo "$WORD" | tee built.txt');
    const { templateId, buildId, tags } = await Template.build(template, `${name}:v1`, {
      tags: ['stable'],
      cpuCount: 1,
      memoryMB: 256,
      onBuildLogs: ({ message }) => void said.push(message),
    });
    expect(tags).to.deep.equal(['v1', 'stable']);
    expect(said.join('\n')).to.match(new RegExp(`\\] ${word}$`, 'm'));
    expect(await Template.exists(`${name}:v1`)).to.equal(true);
    expect(await Template.exists(name)).to.equal(false);
    for (const reference of [`${name}:stable`, templateId]) {
      const sandbox = await session.Sandbox.create(reference);
      expect((await sandbox.commands.run('cat built.txt')).stdout).to.equal(`${word}\n`);
      const { cpuCount, memoryMB } = await sandbox.getInfo();
      expect([cpuCount, memoryMB]).to.deep.equal([1, 256]);
      await sandbox.kill();
    }
    expect((await Template.getTags(templateId)).map(({ tag, buildId: id }) => [tag, id])).to.deep.equal([
      ['stable', buildId],
      ['v1', buildId],
    ]);
    await rejection(session.Other.create(templateId));
  });

  works('Template.build: a failed step', async (session) => {
    const Template = templatesOf(session);
    const template = Template().fromTemplate('base').runCmd('true').runCmd('echo why >&2; exit 7');
    const build = await Template.buildInBackground(template, newName());
    let status = await Template.getBuildStatus(build);
    while (status.status === 'building' || status.status === 'waiting') status = await Template.getBuildStatus(build);
    expect([status.status, status.reason?.step]).to.deep.equal(['error', '2']);
    expect(status.reason?.logEntries.map(({ message }) => message).join('\n')).to.match(/\] why$/m);
    const error = await rejection(Template.build(template, newName()));
    expect(error).to.be.instanceOf(session.sdk.BuildError);
    expect(error.message).to.match(/7/);
    const unknown = await rejection(Template.build(Template().fromTemplate('no-such-template'), newName()));
    expect(unknown.message).to.contain("'no-such-template' not found");
  });

  works(
    'Template.build: files',
    async (session) => {
      const Template = templatesOf(session);
      const folder = temporaryDirectory();
      mkdirSync(join(folder, 'app'));
      const hello = randomUUID();
      writeFileSync(join(folder, 'app', 'greeting.txt'), hello);
      writeFileSync(join(folder, 'large.bin'), Buffer.alloc(3_000_000, 1));
      const template = () =>
        Template({ fileContextPath: folder })
          .fromTemplate('base')
          .copy('app', '/srv/app', { mode: 0o755 })
          .copy('large.bin', '/srv/')
          .setWorkdir('/srv/app')
          .runCmd('test "$(wc -c < /srv/large.bin)" = 3000000 && cat greeting.txt');
      const name = newName();
      const build = async () => {
        const said: string[] = [];
        await Template.build(template(), name, { onBuildLogs: ({ message }) => void said.push(message) });
        return said.join('\n');
      };
      const read = async () => {
        const sandbox = await session.Sandbox.create(name);
        const { stdout } = await sandbox.commands.run('cat greeting.txt; pwd');
        await sandbox.kill();
        return stdout;
      };
      expect(await build()).to.contain("Uploaded 'app'");
      const running = await session.Sandbox.create(name);
      expect(await read()).to.equal(`${hello}/srv/app\n`);
      const again = await build();
      expect(again).to.contain("Skipping upload of 'large.bin', already cached");
      writeFileSync(join(folder, 'app', 'greeting.txt'), `changed ${hello}`);
      expect(await build()).to.contain("Uploaded 'app'");
      expect(await read()).to.equal(`changed ${hello}/srv/app\n`);
      expect((await running.commands.run('cat greeting.txt')).stdout).to.equal(hello);
      await running.kill();
    },
    { engine: true },
  );

  works(
    'Template.build: start and ready command',
    async (session) => {
      const Template = templatesOf(session);
      const name = newName();
      const template = Template()
        .fromTemplate('base')
        .setStartCmd('sleep 1; echo up > /tmp/up; sleep 1000', session.sdk.waitForFile('/tmp/up'));
      await Template.build(template, name);
      const sandbox = await session.Sandbox.create(name);
      expect((await sandbox.commands.run('cat /tmp/up')).stdout).to.equal('up\n');
      await sandbox.kill();
    },
    { engine: true },
  );
});
