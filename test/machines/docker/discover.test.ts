import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { engineAddresses } from '../../../app/machines/docker/engine/address.ts';
import { discover } from '../../../app/machines/docker/engine/discover.ts';
import { temporaryDirectory } from '../../helpers/server.ts';

const nothing = { dockerHost: undefined, certificates: undefined, runtimeFolder: undefined, home: undefined };

/** Runs `work` with the address of something that answers like an engine. */
async function withEngine(answer: RequestListener, work: (address: string) => Promise<void>): Promise<void> {
  const path = join(temporaryDirectory(), 'engine.sock');
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(`unix://${path}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const answering = (version: object) => (_: unknown, answer: { end: (text: string) => void }) =>
  answer.end(JSON.stringify({ Version: '1.2.3', Arch: 'amd64', ...version }));

describe('finding the container engine', () => {
  it('looks at the address of the settings only, then at DOCKER_HOST only, then at the usual sockets', () => {
    const env = { ...nothing, dockerHost: 'tcp://10.0.0.1:2375' };
    expect(engineAddresses('/run/mine.sock', env)).to.deep.equal(['unix:///run/mine.sock']);
    expect(engineAddresses(undefined, env)).to.deep.equal(['tcp://10.0.0.1:2375']);
    if (process.platform === 'win32') return;
    expect(engineAddresses(undefined, { ...nothing, runtimeFolder: '/run/user/7', home: '/home/x' })).to.deep.equal([
      'unix:///var/run/docker.sock',
      'unix:///run/user/7/podman/podman.sock',
      'unix:///run/podman/podman.sock',
      'unix:///home/x/.docker/run/docker.sock',
      'unix:///home/x/.colima/default/docker.sock',
    ]);
  });

  it('speaks a version of the API that both sides know', async () => {
    for (const [ApiVersion, MinAPIVersion, spoken] of [
      ['1.41', '1.24', 'v1.41'],
      ['1.60', '1.44', 'v1.47'],
      ['1.60', '1.52', 'v1.52'],
    ])
      await withEngine(answering({ ApiVersion, MinAPIVersion }), async (address) => {
        const { engine } = await discover(address, nothing, 1000);
        expect(engine?.docker.modem).to.include({ version: spoken });
      });
  });

  it('refuses an engine that is too old', async () => {
    await withEngine(answering({ ApiVersion: '1.30' }), async (address) => {
      const { engine, attempts } = await discover(address, nothing, 1000);
      expect(engine).to.equal(null);
      expect(attempts[0]?.problem).to.include('too old');
    });
  });

  it('gives up on an engine that says nothing', async () => {
    await withEngine(
      () => {},
      async (address) => {
        const { attempts } = await discover(address, nothing, 50);
        expect(attempts).to.deep.equal([{ address, problem: 'it did not answer within 0.05 s' }]);
      },
    );
  });

  it('says what is wrong with an address', async () => {
    const problemOf = async (address: string) => (await discover(address, nothing, 1000)).attempts[0]?.problem;
    expect(await problemOf('ssh://host')).to.include('ssh -L');
    expect(await problemOf('ftp://host')).to.include('none of unix://, tcp:// and npipe://');
    expect(await problemOf('unix:///missing.sock')).to.equal('there is no such socket');
    expect(await problemOf('tcp://127.0.0.1:1')).to.equal('nothing listens there');
  });
});
