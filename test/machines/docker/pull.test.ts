import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import pino from 'pino';
import { createDockerDriver } from '../../../app/machines/docker/driver.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { MachineError } from '../../../app/machines/error.ts';
import { temporaryDirectory } from '../../helpers/server.ts';

const version = { Version: '1.2.3', ApiVersion: '1.41', MinAPIVersion: '1.24', Arch: 'amd64' };
const never = new AbortController().signal;

/** Calls `work` with a driver whose engine answers a pull with these lines. */
async function withPull(lines: object[], work: (driver: Driver, asked: URL[]) => Promise<void>): Promise<void> {
  const asked: URL[] = [];
  const answer = (req: IncomingMessage, res: ServerResponse) => {
    const url = new URL(req.url ?? '', 'http://engine');
    asked.push(url);
    if (url.pathname.endsWith('/version')) res.end(JSON.stringify(version));
    else if (url.pathname.endsWith('/images/create'))
      res.end(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(''));
    else res.end(JSON.stringify({ Id: 'sha256:1', Size: 5 }));
  };
  const path = join(temporaryDirectory(), 'engine.sock');
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const log = pino({ level: 'silent' });
  const driver = createDockerDriver({ instance: '0123456789abcdef', engine: path, db: ':memory:', log });
  try {
    await work(driver, asked);
  } finally {
    await driver.close();
    server.closeAllConnections();
    server.close();
  }
}

describe('pulling an image', () => {
  it('tells how far it is, and asks for one tag only', async () => {
    const lines = [
      { status: 'Pulling from library/python', id: '3.12' },
      { status: 'Pulling fs layer', id: 'a' },
      { status: 'Already exists', id: 'b' },
      { status: 'Downloading', id: 'a', progressDetail: { current: 5_000_000, total: 20_000_000 } },
      { status: 'Download complete', id: 'a' },
      { status: 'Pull complete', id: 'a' },
    ];
    await withPull(lines, async (driver, asked) => {
      const words: string[] = [];
      await driver.pull('docker.io/library/python', (line) => words.push(line), never);
      expect(words[0]).to.equal('asking the registry');
      const pull = asked.find(({ pathname }) => pathname === '/v1.41/images/create');
      expect(Object.fromEntries(pull?.searchParams ?? [])).to.include({
        fromImage: 'docker.io/library/python',
        tag: 'latest',
      });
    });
  });

  for (const [error, code] of [
    ['manifest for python:0 not found: manifest unknown: manifest unknown', 'no_image'],
    ['pull access denied for x, repository does not exist or may require docker login', 'no_image'],
    ['Get "https://registry/v2/": dial tcp: lookup registry: no such host', 'unavailable'],
    ['failed to register layer: write /x: no space left on device', 'full'],
    ['unexpected EOF', 'failed'],
  ] as const)
    it(`fails with ${code} when the engine says: ${error}`, async () => {
      await withPull(
        [
          { status: 'Pulling', id: 'x' },
          { errorDetail: { message: error }, error },
        ],
        async (driver) => {
          const failed = await driver.pull('python:0', () => {}, never).catch((reason: unknown) => reason);
          expect(failed).to.be.instanceOf(MachineError).and.include({ code });
        },
      );
    });
});
