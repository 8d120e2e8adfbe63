import { type ChildProcess, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { closeNow } from '../helpers/listen.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import type { TestEngine } from '../machines/engines/engines.ts';
import { busyboxArchive } from '../machines/engines/image-files.ts';

const mediaTypes = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

/** Passes connections of a free port of loopback on to a Unix socket, and prints the port. */
const forwarder = `
  const { connect, createServer } = require('node:net');
  const server = createServer((client) => {
    const target = connect(process.argv[1]);
    client.pipe(target).pipe(client);
    client.on('error', () => target.destroy());
    target.on('error', () => client.destroy());
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

/** A registry on the engine's loopback with one image, `mini:1`: busybox only. */
export class Registry {
  readonly #server: Server;
  readonly #files = new Map<string, { type: string; content: Buffer }>();
  readonly #layer: string;
  /** Resolves when the layer may be sent. */
  #gate = Promise.resolve();
  #port = '';
  #forwarder: ChildProcess | undefined;

  constructor() {
    const archive = readFileSync(busyboxArchive());
    const add = (type: string, content: Buffer) => {
      const digest = digestOf(content);
      this.#files.set(`/v2/mini/blobs/${digest}`, { type, content });
      return { mediaType: type, size: content.length, digest };
    };
    const layer = add(mediaTypes.layer, gzipSync(archive, { level: 1 }));
    this.#layer = `/v2/mini/blobs/${layer.digest}`;
    const { arch } = process;
    const rootfs = { type: 'layers', diff_ids: [digestOf(archive)] };
    const config = { architecture: arch === 'x64' ? 'amd64' : arch, os: 'linux', config: {}, rootfs };
    const entry = add(mediaTypes.config, Buffer.from(JSON.stringify(config)));
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config: entry, layers: [layer] };
    const content = Buffer.from(JSON.stringify(manifest));
    for (const name of ['1', digestOf(content)]) {
      this.#files.set(`/v2/mini/manifests/${name}`, { type: mediaTypes.manifest, content });
    }
    this.#server = createServer((req, res) => void this.#answer(req.method ?? '', req.url ?? '', res));
  }

  /** A test's engine has a network of its own, in which the forwarder runs. */
  async start({ address }: Pick<TestEngine, 'address'>): Promise<void> {
    const socket = join(temporaryDirectory(), 'registry.sock');
    this.#server.listen(socket);
    await once(this.#server, 'listening');
    const network = join(dirname(address.replace('unix://', '')), 'network');
    const args = [`--net=${network}`, process.execPath, '-e', forwarder, socket];
    const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#forwarder = child;
    const [line] = await once(child.stdout, 'data');
    this.#port = String(line).trim();
  }

  /** Returns the reference of an image here. */
  referenceOf(image: string): string {
    return `127.0.0.1:${this.#port}/${image}`;
  }

  /** Holds the layer back. Returns a function that lets it go. */
  holdLayer(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }

  stop(): void {
    this.#forwarder?.kill('SIGKILL');
    closeNow(this.#server as Server & { closeAllConnections: () => void });
  }

  async #answer(method: string, url: string, res: ServerResponse): Promise<void> {
    if (url === '/v2/') return void res.end('{}');
    const file = this.#files.get(url);
    if (!file) {
      res.writeHead(404, { 'Content-Type': 'application/json' });
      return void res.end(JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known' }] }));
    }
    if (url === this.#layer) await this.#gate;
    res.writeHead(200, {
      'Content-Type': file.type,
      'Content-Length': file.content.length,
      'Docker-Content-Digest': digestOf(file.content),
    });
    res.end(method === 'HEAD' ? undefined : file.content);
  }
}

function digestOf(content: Buffer): string {
  return `sha256:${hash('sha256', content)}`;
}
