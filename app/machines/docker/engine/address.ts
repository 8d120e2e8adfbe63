import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { join } from 'node:path';
import type { DockerOptions } from 'dockerode';
import type { EngineEnvironment } from '../../../config/engine-environment.ts';
import { MachineError } from '../../error.ts';

/**
 * Returns the addresses at which an engine may answer, the likeliest first. An address that the
 * settings or DOCKER_HOST name is the only one.
 */
export function engineAddresses(setting: string | undefined, env: EngineEnvironment): string[] {
  const named = setting ?? env.dockerHost;
  if (named !== undefined) return [named.startsWith('/') ? `unix://${named}` : named];
  if (process.platform === 'win32')
    return ['npipe:////./pipe/docker_engine', 'npipe:////./pipe/podman-machine-default'];
  const { runtimeFolder, home } = env;
  return [
    'unix:///var/run/docker.sock',
    ...(runtimeFolder === undefined ? [] : [`unix://${runtimeFolder}/podman/podman.sock`]),
    'unix:///run/podman/podman.sock',
    ...(home === undefined
      ? []
      : [`unix://${home}/.docker/run/docker.sock`, `unix://${home}/.colima/default/docker.sock`]),
  ];
}

/** Whether the engine runs on this machine, under this machine's limits. */
export function isLocal(address: string): boolean {
  return address.startsWith('unix://') && process.platform === 'linux';
}

/**
 * Returns dockerode's options for an address. They name everything, because dockerode reads what is
 * missing from the environment. Throws MachineError `unsupported` or `unavailable`.
 */
export function clientOptions(address: string, env: EngineEnvironment): DockerOptions {
  const none = {
    socketPath: undefined,
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
  };
  const [, scheme = 'tcp', rest = address] = /^([a-z]+):\/\/(.*)$/.exec(address) ?? [];
  // A connection for each call: one that is kept may be dead, and a call that changes something
  // can't be repeated safely.
  if (scheme === 'unix' || scheme === 'npipe')
    return { ...none, protocol: 'http', socketPath: rest, agent: new HttpAgent({ keepAlive: false }) } as DockerOptions;
  if (scheme === 'ssh')
    throw new MachineError(
      'unsupported',
      `engines behind ssh are not supported: forward the socket with \`ssh -L /tmp/docker.sock:/var/run/docker.sock HOST\`, then use unix:///tmp/docker.sock`,
    );
  if (!['tcp', 'http', 'https'].includes(scheme))
    throw new MachineError(
      'unsupported',
      `the address ${address} of the engine begins with none of unix://, tcp:// and npipe://`,
    );
  const isSecure = scheme === 'https' || (scheme === 'tcp' && env.certificates !== undefined);
  const { hostname, port } = new URL(`http://${rest}`);
  const agent = isSecure ? new HttpsAgent({ keepAlive: false }) : new HttpAgent({ keepAlive: false });
  const place = { host: hostname.replace(/^\[|\]$/g, ''), port: port || (isSecure ? '2376' : '2375') };
  return {
    ...none,
    ...place,
    ...(isSecure ? certificateOptions(env.certificates) : {}),
    protocol: isSecure ? 'https' : 'http',
    agent,
  } as DockerOptions;
}

function certificateOptions(folder: string | undefined): { ca?: string; cert?: string; key?: string } {
  if (folder === undefined) return {};
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  try {
    return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
  } catch (error) {
    throw new MachineError('unavailable', `the engine's certificates can't be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
