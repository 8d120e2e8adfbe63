import { expect } from 'chai';
import type { Machines } from '../../app/context.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { type Caller, startApp, type TestApp } from '../helpers/server.ts';
import { archiveOf, buildTemplate, step, upload } from '../machines/builds/templates.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { until } from '../machines/images/registry.ts';
import { runProgram } from './machine.ts';

describeOnEngines('templates that are built from code', (engine) => {
  let app: TestApp;
  let alice: Caller;
  let e2b: ReturnType<typeof e2bOf>;
  beforeEach(async () => {
    app = await startApp({ machines: 'docker', engine: engine().address, image: engine().image });
    alice = await app.addUser('alice');
    e2b = e2bOf(app, alice);
  });
  afterEach(async () => {
    for (const id of await e2b.listed()) await e2b.remove(`/sandboxes/${id}`);
    const { db } = app.server.context.store;
    await db.deleteFrom('template_layers').execute();
    await db.deleteFrom('snapshots').execute();
    const { driver } = machines();
    await until(async () => (await driver.list()).length === 0);
    machines().collectSnapshots();
    await until(async () => (await driver.snapshots()).length === 0);
  });

  const machines = () => app.server.context.machines as Machines;
  const printed = async (id: string, command: string) =>
    (await runProgram(await machines().agentOf(id), ['/bin/sh', '-c', command])).output;

  const addOther = `command -v adduser || { echo other:x:1500:1500::/home/other:/bin/bash >> /etc/passwd
    echo other:x:1500: >> /etc/group; mkdir /home/other; chown 1500:1500 /home/other; }`;

  for (const [name, imageOf] of [
    ['with the programs of Debian, but none that adds users', () => engine().image],
    ['with BusyBox alone', () => engine().minimalImage],
  ] as const) {
    it(`run their steps as root and as users in an image ${name}, and start what they are to`, async () => {
      const from = { image: imageOf() };
      const files = 'mkdir -p src/sub && echo one > src/sub/one && echo two > src/two && ln -s two src/link';
      const hash = await upload(app, alice, { templateId: 'x' }, archiveOf(app.dir, files));
      const steps = [
        step('RUN', `mkdir -p /srv/app/sub && echo old > /srv/app/old; ${addOther}`, 'root'),
        { ...step('COPY', 'src', '/srv/app/', 'root', '0755'), filesHash: hash },
        { ...step('COPY', 'src/two', 'renamed'), filesHash: hash },
        step('WORKDIR', '/srv/new/work'),
        step('ENV', 'NAME', 'value of $HOME'),
        step('RUN', 'sleep 2.1; id -un > who; echo "$NAME" > name'),
        step('USER', 'other'),
        step('RUN', 'cd; id -un > mine; pwd; cat /srv/new/work/who'),
      ];
      const commands = { startCmd: 'echo start-$NAME > ~/started; exec sleep 1000', readyCmd: 'test -s ~/started' };
      const built = await buildTemplate(app, alice, steps, { from, ...commands });
      expect(built.build.reason, built.text).to.equal(null);
      expect(built.text).to.contain('[8] /home/other\n[8] user\n');
      const id = await e2b.create({ templateID: 'mine' });
      const seen = [
        'ls -A /srv/app /srv/new/work',
        'stat -c "%U %a" /srv/app/sub/one /srv/new/work ~user/renamed /home/other/mine',
        'cat ~other/started /srv/new/work/name ~user/renamed; readlink /srv/app/link; ls -A / | grep copy || true',
      ].join('; ');
      expect(await printed(id, seen)).to.equal(
        [
          ...['/srv/app:', 'link', 'old', 'sub', 'two', '', '/srv/new/work:', 'name', 'who'],
          ...['root 755', 'user 755', 'user 644', 'other 644'],
          ...['start-value of /root', 'value of /root', 'two', 'two', ''],
        ].join('\n'),
      );
      const again = await buildTemplate(app, alice, [...steps, step('RUN', 'echo more')], { from, ...commands });
      expect([again.build.reason, again.text.match(/CACHED/g)?.length], again.text).to.deep.equal([null, 8]);
      const next = { from: { template: 'mine' }, name: 'next' };
      const onTop = await buildTemplate(app, alice, [step('RUN', 'pwd; id -un; echo $NAME')], next);
      expect(onTop.text).to.contain('[1] /srv/new/work\n[1] other\n[1] value of /root\n');
    });
  }
});
