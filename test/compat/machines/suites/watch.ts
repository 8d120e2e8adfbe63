import { expect } from 'chai';
import type { FilesystemEvent } from 'e2b';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines } from '../session.ts';

describe("E2B's SDK on machines: watching folders", () => {
  const { works } = eachSdkOnMachines();

  works('files.watchDir', async ({ sandbox, sdk, folder }) => {
    const events: FilesystemEvent[] = [];
    const has = (type: string, name: string) =>
      until(`${type} ${name}`, () => events.some((event) => event.type === type && event.name === name));
    await sandbox.files.makeDir(`${folder}/sub`);
    const watching = await sandbox.files.watchDir(folder, (event) => void events.push(event));
    await sandbox.files.write(`${folder}/a`, 'text');
    await has('create', 'a');
    await has('write', 'a');
    await sandbox.commands.run(`chmod 600 ${folder}/a`);
    await has('chmod', 'a');
    await sandbox.files.rename(`${folder}/a`, `${folder}/b`);
    await has('rename', 'a');
    await has('create', 'b');
    await sandbox.files.write(`${folder}/sub/deep`, 'text');
    await sandbox.files.remove(`${folder}/b`);
    await has('remove', 'b');
    expect(events.map(({ name }) => name)).not.to.include('sub/deep');
    expect(events.every(({ entry }) => entry === undefined)).to.equal(true);
    await watching.stop();
    const error = await rejection(sandbox.files.watchDir(`${folder}/none`, () => {}));
    expect(error).to.be.instanceOf(sdk.FileNotFoundError);
    await sandbox.files.write(`${folder}/file`, '');
    const file = await rejection(sandbox.files.watchDir(`${folder}/file`, () => {}));
    expect(file).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  works('files.watchDir: recursive', async ({ sandbox, folder }) => {
    const names = new Set<string>();
    await sandbox.files.makeDir(`${folder}/old`);
    const watching = await sandbox.files.watchDir(folder, ({ name }) => void names.add(name), { recursive: true });
    await sandbox.files.write(`${folder}/old/a`, 'text');
    await until('a change in a folder that was there', () => names.has('old/a'));
    // A file may be made before the agent watches its new folder: the second write is seen.
    await sandbox.files.makeDir(`${folder}/new/sub`);
    await until('a change in a new folder', async () => {
      await sandbox.files.write(`${folder}/new/sub/b`, 'text');
      return names.has('new/sub/b');
    });
    await watching.stop();
  });

  works('files.watchDir: includeEntry', async ({ sandbox, folder }) => {
    const events: FilesystemEvent[] = [];
    const onEvent = (event: FilesystemEvent) => void events.push(event);
    const watching = await sandbox.files.watchDir(folder, onEvent, { includeEntry: true });
    await sandbox.files.write(`${folder}/a`, '12345');
    const written = () => events.findLast(({ type, entry }) => type === 'write' && entry?.size === 5);
    await until('the write with its entry', () => written() !== undefined);
    expect(written()?.entry).to.include({ name: 'a', path: `${folder}/a`, type: 'file' });
    await watching.stop();
  });

  works('files.watchDir: onExit', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create();
    await sandbox.files.makeDir('watched');
    const ended = new Promise<Error | undefined>((resolve) => {
      void sandbox.files.watchDir('watched', () => {}, { onExit: resolve }).then(() => sandbox.kill());
    });
    expect(await ended).to.be.instanceOf(sdk.TimeoutError);
  });
});
