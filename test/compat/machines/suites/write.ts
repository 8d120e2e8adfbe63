import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines } from '../session.ts';

/** Returns a stream of these texts. */
function streamOf(...texts: string[]): ReadableStream {
  const encoder = new TextEncoder();
  return ReadableStream.from(texts.map((text) => encoder.encode(text)));
}

describe("E2B's SDK on machines: writing files", () => {
  const { works } = eachSdkOnMachines();

  works('files.write', async ({ sandbox, sdk, folder }) => {
    const path = `${folder}/new/sub/a b?.txt`;
    const info = await sandbox.files.write(path, 'first, and longer than the second');
    expect(info).to.include({ name: 'a b?.txt', path, type: 'file' });
    await sandbox.files.write(path, 'sécond');
    expect(await sandbox.files.read(path)).to.equal('sécond');
    expect((await sandbox.commands.run(`cat '${path}'`)).stdout).to.equal('sécond');
    await sandbox.files.write(`${folder}/empty`, '');
    expect((await sandbox.files.getInfo(`${folder}/empty`)).size).to.equal(0);
    expect(await rejection(sandbox.files.write(folder, 'a'))).to.be.instanceOf(sdk.InvalidArgumentError);
  });

  works('files.write: bytes, Blob', async ({ sandbox, folder }) => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256);
    await sandbox.files.write(`${folder}/bytes`, bytes.buffer);
    await sandbox.files.write(`${folder}/blob`, new Blob([bytes]));
    for (const name of ['bytes', 'blob'])
      expect(Buffer.from(bytes).equals(await sandbox.files.read(`${folder}/${name}`, { format: 'bytes' }))).to.equal(
        true,
      );
  });

  works('files.write: ReadableStream', async ({ sandbox, folder }) => {
    const info = await sandbox.files.write(`${folder}/a`, streamOf('one ', 'two ', 'three'));
    expect(info).to.include({ path: `${folder}/a` });
    expect(await sandbox.files.read(`${folder}/a`)).to.equal('one two three');
  });

  works('files.write: useOctetStream', async ({ sandbox, folder }) => {
    await sandbox.files.write(`${folder}/a`, 'text', { useOctetStream: true });
    expect(await sandbox.files.read(`${folder}/a`)).to.equal('text');
    await sandbox.files.write(`${folder}/b`, 'text', { useOctetStream: false });
    expect(await sandbox.files.read(`${folder}/b`)).to.equal('text');
  });

  works('files.write: gzip', async ({ sandbox, folder }) => {
    const text = 'text '.repeat(50_000);
    await sandbox.files.write(`${folder}/a`, text, { gzip: true });
    expect((await sandbox.files.getInfo(`${folder}/a`)).size).to.equal(text.length);
    expect(await sandbox.files.read(`${folder}/a`, { gzip: true })).to.equal(text);
    // A file that is itself compressed stays as it is.
    await sandbox.files.write(`${folder}/b.gz`, new Blob([gzipSync(text)]), { useOctetStream: true });
    const bytes = await sandbox.files.read(`${folder}/b.gz`, { format: 'bytes' });
    expect(gunzipSync(bytes).toString()).to.equal(text);
  });

  works('files.write: several', async ({ sandbox, folder }) => {
    const entries = [
      { path: `${folder}/a`, data: 'A' },
      { path: `${folder}/sub/b`, data: new TextEncoder().encode('B').buffer as ArrayBuffer },
      { path: `${folder}/c`, data: new Blob(['C']) },
    ];
    const infos = await sandbox.files.write(entries);
    expect(infos.map(({ path }) => path)).to.deep.equal(entries.map(({ path }) => path));
    const contents = await Promise.all(entries.map(({ path }) => sandbox.files.read(path)));
    expect(contents).to.deep.equal(['A', 'B', 'C']);
    expect(await sandbox.files.write([])).to.deep.equal([]);
    const streamed = [
      { path: `${folder}/d`, data: streamOf('D') },
      { path: `${folder}/e`, data: 'E' },
    ];
    await sandbox.files.writeFiles(streamed);
    expect(await sandbox.files.read(`${folder}/d`)).to.equal('D');
    expect(await sandbox.files.read(`${folder}/e`)).to.equal('E');
  });

  works('files.write: metadata', async ({ sandbox, folder }) => {
    const path = `${folder}/a`;
    const metadata = { author: 'ada', 'build-id': '7 %20 x' };
    for (const useOctetStream of [false, true]) {
      const info = await sandbox.files.write(path, 'text', { metadata, useOctetStream });
      expect(info.metadata).to.deep.equal(metadata);
      expect((await sandbox.files.getInfo(path)).metadata).to.deep.equal(metadata);
    }
    const [entry] = await sandbox.files.list(folder);
    expect(entry?.metadata).to.deep.equal(metadata);
    await sandbox.files.write(path, 'text', { metadata: { other: 'b' } });
    expect((await sandbox.files.getInfo(path)).metadata).to.deep.equal({ other: 'b' });
    await sandbox.files.write(path, 'text');
    expect((await sandbox.files.getInfo(path)).metadata ?? {}).to.deep.equal({});
  });

  works(
    'NotEnoughSpaceError',
    async ({ sandbox, sdk }) => {
      // The container's /dev/shm is 64 MB.
      const error = await rejection(
        sandbox.files.write('/dev/shm/a', new Blob([Buffer.alloc(70 * 2 ** 20)]), { useOctetStream: true }),
      );
      await sandbox.files.remove('/dev/shm/a');
      expect(error).to.be.instanceOf(sdk.NotEnoughSpaceError);
    },
    { engine: true },
  );
});
