import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import pino from 'pino';
import { createDockerDriver } from '../../../app/machines/docker/driver.ts';
import { temporaryDirectory } from '../../helpers/server.ts';

const instance = '0123456789abcdef';
const version = { Version: '1.2.3', ApiVersion: '1.41', MinAPIVersion: '1.24', Arch: 'amd64' };
const Labels = { 'dev.sandpit.snapshot': instance };
const images = [
  { Id: 'sha256:a', ParentId: '', RepoTags: ['localhost/sandpit-01234567:base'], Labels },
  { Id: 'sha256:b', ParentId: 'a', RepoTags: ['localhost/sandpit-01234567:derived'], Labels },
  { Id: 'sha256:c', ParentId: '', RepoTags: ['<none>:<none>'], Labels },
  { Id: 'sha256:d', ParentId: '', RepoTags: null, Labels },
  { Id: 'sha256:e', ParentId: '', RepoTags: ['somebody/adopted:it'], Labels },
  { Id: 'sha256:f', ParentId: '', RepoTags: ['debian:13'], Labels: null },
];

describe('listing snapshots', () => {
  it('finds named and unnamed ones, says which are used, and lists again when Podman loses one meanwhile', async () => {
    let isFirst = true;
    const server = createServer((req, res) => {
      const { pathname } = new URL(req.url ?? '', 'http://engine');
      if (pathname.endsWith('/version')) res.end(JSON.stringify(version));
      else if (pathname.endsWith('/containers/json')) res.end(JSON.stringify([{ Id: 'x', ImageID: 'sha256:c' }]));
      else if (isFirst) {
        isFirst = false;
        res.writeHead(500).end(JSON.stringify({ message: 'retrieving label for image "e": image not known' }));
      } else res.end(JSON.stringify(images));
    });
    const engine = join(temporaryDirectory(), 'engine.sock');
    await new Promise<void>((resolve) => server.listen(engine, resolve));
    const log = pino({ level: 'silent' });
    const driver = createDockerDriver({ instance, engine, db: ':memory:', log });
    try {
      expect(await driver.snapshots()).to.deep.equal([
        { ref: 'localhost/sandpit-01234567:base', isUsed: true },
        { ref: 'localhost/sandpit-01234567:derived', isUsed: false },
        { ref: 'sha256:c', isUsed: true },
        { ref: 'sha256:d', isUsed: false },
      ]);
    } finally {
      await driver.close();
      server.closeAllConnections();
      server.close();
    }
  });
});
