import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Container } from 'dockerode';
import tar from 'tar-stream';
import { type BuiltAgent, builtAgent } from '../agent/built.ts';
import { MachineError } from '../error.ts';
import { callEngine, deadlines, type Engine, requestContainer } from './engine/engine.ts';
import { statusOf } from './engine/failures.ts';
import type { Names } from './labels.ts';

/** Where machines have the agent. */
export const programFolder = '/opt/sandpit';
export const programPath = `${programFolder}/agent`;

const architectures: Record<string, 'x64' | 'arm64'> = {
  amd64: 'x64',
  x86_64: 'x64',
  arm64: 'arm64',
  aarch64: 'arm64',
};

/**
 * Makes sure that the engine has a volume with the agent's program. Returns the volume's name. A
 * volume works with engines on other machines too, and all machines share one copy. `image` is any
 * image that the engine has: the container that fills the volume needs one. It never starts.
 */
export async function provideProgram(engine: Engine, names: Names, image: string): Promise<string> {
  const agent = agentFor(engine);
  const volume = names.volume(agent.version);
  await store((abortSignal) => engine.docker.createVolume({ Name: volume, Labels: names.labels, abortSignal }));
  await fill(engine, names, { volume, agent, image });
  await removeVolumes(engine, names, volume);
  return volume;
}

/** The mount that gives a container the agent's volume. */
export function programMount(volume: string, isReadOnly: boolean) {
  const options = { NoCopy: true, Labels: {}, DriverConfig: { Name: '', Options: {} } };
  return {
    Type: 'volume',
    Source: volume,
    Target: programFolder,
    ReadOnly: isReadOnly,
    VolumeOptions: options,
  } as const;
}

function agentFor({ architecture }: Engine): BuiltAgent {
  const known = architectures[architecture];
  if (known !== undefined) return builtAgent(known);
  throw new MachineError('unsupported', `there is no agent for engines on ${architecture} processors`);
}

function store<T>(call: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
  return callEngine('store the agent', deadlines.change, call);
}

async function fill(
  engine: Engine,
  names: Names,
  { volume, agent, image }: { volume: string; agent: BuiltAgent; image: string },
): Promise<void> {
  // A crash may have left one.
  await removeFiller(engine, names);
  const config = {
    name: names.filler,
    Image: image,
    Entrypoint: [programPath],
    Labels: names.labels,
    HostConfig: { NetworkMode: 'none', Mounts: [programMount(volume, false)] },
  };
  try {
    const filler = await store((abortSignal) => requestContainer(engine, config, abortSignal));
    if (await hasProgram(filler, agent.bytes.length)) return;
    const archive = await packed(agent.bytes);
    await store((abortSignal) => filler.putArchive(archive, { path: programFolder, abortSignal }));
  } finally {
    await removeFiller(engine, names);
  }
}

/** Whether the volume has the whole program already. Its name tells which program. */
async function hasProgram(filler: Container, bytes: number): Promise<boolean> {
  try {
    const found = await store((abortSignal) => filler.infoArchive({ path: programPath, abortSignal } as object));
    const { headers } = (found as unknown as IncomingMessage).resume();
    const described = Buffer.from(String(headers['x-docker-container-path-stat'] ?? ''), 'base64').toString();
    return JSON.parse(described).size === bytes;
  } catch {
    return false;
  }
}

function packed(program: Buffer): Promise<Buffer> {
  const archive = tar.pack();
  archive.entry({ name: 'agent', mode: 0o755, uid: 0, gid: 0 }, program);
  archive.finalize();
  return buffer(archive);
}

async function removeFiller(engine: Engine, names: Names): Promise<void> {
  const filler = engine.docker.getContainer(names.filler);
  await store((abortSignal) => ignoring(404, filler.remove({ force: true, abortSignal })));
}

/**
 * Removes our volumes that no machine uses any more: of other versions of the agent than `current`,
 * or all of them.
 */
export async function removeVolumes(engine: Engine, names: Names, current?: string): Promise<void> {
  const filters = JSON.stringify(names.filters);
  const { Volumes } = await store((abortSignal) => engine.docker.listVolumes({ filters, abortSignal } as object));
  for (const { Name } of Volumes ?? []) {
    if (Name === current) continue;
    await store((abortSignal) => engine.docker.getVolume(Name).remove({ abortSignal })).catch(() => {
      // A machine still uses it.
    });
  }
}

/** Resolves to null when the engine answers with this status. */
export async function ignoring<T>(status: number, call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (statusOf(error) === status) return null;
    throw error;
  }
}
