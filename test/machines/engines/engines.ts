import { createReadStream, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { EngineProcess } from './engine-process.ts';
import { busyboxArchive, debianArchive } from './image-files.ts';

export type EngineName = 'docker' | 'podman';

/** A container engine that a test started. */
export type TestEngine = {
  engine: EngineName;
  /** for the setting `engine` */
  address: string;
  /** an image with bash, git, curl, sudo, Python and the user `user` */
  image: string;
  /** an image with busybox only: no bash, no user `user` */
  minimalImage: string;
  /** the file of the engine's network namespace, which is its host's for machines */
  network: string;
  /** Gives the engine an image made of an archive. Returns its reference. */
  add: (archive: string, repository: string) => Promise<string>;
  /** Calls the engine's API. Resolves to what it answers; null without a body. */
  ask: (method: string, path: string) => Promise<unknown>;
  /** Ends the engine as a crash does, and runs `meanwhile` before it starts again. */
  restart: (meanwhile?: () => Promise<void>) => Promise<void>;
  /** Removes its machines, ends it and deletes its files. */
  stop: () => Promise<void>;
};

const path = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The engines that the variable TEST_ENGINES names, e.g. `docker,podman`. Throws for another name.
 */
export function requestedEngines(): EngineName[] {
  const names = (process.env.TEST_ENGINES ?? '').split(',').filter((name) => name !== '');
  const unknown = names.find((name) => !(name in commands));
  if (unknown !== undefined) throw new Error(`TEST_ENGINES names ${unknown}: choose from docker and podman`);
  return names as EngineName[];
}

/**
 * Declares tests that run on each requested engine; `engine()` returns it once they run. Without a
 * requested engine the tests are skipped, and the title says so.
 */
export function describeOnEngines(title: string, tests: (engine: () => TestEngine) => void): void {
  const names = requestedEngines();
  if (names.length === 0)
    return void describe.skip(`${title} (skipped: npm run test:engines starts the engines)`, () => tests(none));
  for (const name of names)
    describe(`${title} (${name})`, () => {
      let started: TestEngine | undefined;
      before(async () => {
        started = await startEngine(name);
      });
      tests(() => started ?? none());
      // Hooks run in this order: the tests' own need the engine.
      after(() => started?.stop());
    });
}

/**
 * Starts an engine with both images. Needs root, and Debian's `docker.io` or `podman` and `runc`.
 */
export async function startEngine(engine: EngineName): Promise<TestEngine> {
  const running = new EngineProcess(commands[engine]);
  const stop = async () => {
    await removeMachines(running.socket).catch(() => {});
    await running.remove();
  };
  try {
    await running.start();
    const image = await importImage(running.socket, debianArchive(), 'localhost/sandpit-test');
    const minimalImage = await importImage(running.socket, busyboxArchive(), 'localhost/sandpit-minimal');
    const restart = async (meanwhile?: () => Promise<void>) => {
      await running.end('SIGKILL');
      await meanwhile?.();
      await running.start();
    };
    const call = (method: string, path: string) => ask(running.socket, method, path);
    const { network } = running;
    const add = (archive: string, repository: string) => importImage(running.socket, archive, repository);
    const address = `unix://${running.socket}`;
    return { engine, address, image, minimalImage, network, add, ask: call, restart, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const commands = {
  docker: (folder: string) => ({
    args: [
      'dockerd',
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '--host', `unix://${join(folder, 'engine.sock')}`],
      // Machines run on while the engine is away. Ours have a network of their own.
      ...['--live-restore', '--bridge', 'none'],
    ],
    helper: join(folder, 'exec/containerd/containerd.pid'),
  }),
  podman: (folder: string) => {
    const config = join(folder, 'containers.conf');
    // Without the delay's end, each exec leaves a process of Podman's behind for five minutes.
    const engine = ['runtime="runc"', 'cgroup_manager="cgroupfs"', 'events_logger="file"', 'exit_command_delay=1'];
    writeFileSync(config, `[engine]\n${engine.join('\n')}\n`);
    return {
      args: [
        'podman',
        ...['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--tmpdir', join(folder, 'tmp')],
        ...['--network-config-dir', join(folder, 'networks')],
        ...['system', 'service', '--time', '0', `unix://${join(folder, 'engine.sock')}`],
      ],
      env: { CONTAINERS_CONF: config },
    };
  },
};

function none(): never {
  throw new Error('no engine runs yet');
}

/** Gives an engine an image. Returns its reference. */
async function importImage(socketPath: string, archive: string, repository: string): Promise<string> {
  const query = new URLSearchParams({ fromSrc: '-', repo: repository, tag: 'latest', changes: path });
  const asked = request({ socketPath, method: 'POST', path: `/images/create?${query}`, agent: false });
  asked.setHeader('Content-Type', 'application/x-tar');
  const answered = new Promise<string>((resolve, reject) => {
    asked.on('response', (answer) => text(answer).then(resolve, reject)).on('error', reject);
  });
  // An engine that has read the end of the archive may close the connection before the last bytes.
  const sent = pipeline(createReadStream(archive), asked).catch(() => {});
  const words = await answered;
  await sent;
  if (/error/i.test(words)) throw new Error(`the import of ${repository} failed: ${words}`);
  return `${repository}:latest`;
}

async function removeMachines(socketPath: string): Promise<void> {
  const containers = (await ask(socketPath, 'GET', '/containers/json?all=1')) as { Id: string }[];
  for (const { Id } of containers) await ask(socketPath, 'DELETE', `/containers/${Id}?force=1&v=1`);
}

/** Calls an engine. Resolves to what it answers; null without a body. */
async function ask(socketPath: string, method: string, path: string): Promise<unknown> {
  const answered = await new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (answer) => text(answer).then(resolve, reject));
    asked.on('error', reject).end();
  });
  return answered === '' ? null : JSON.parse(answered);
}
