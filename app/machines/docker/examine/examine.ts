import type { EngineEnvironment } from '../../../config/engine-environment.ts';
import { discover } from '../engine/discover.ts';
import { deadlines, describeEngine, type Engine, type EngineDescription } from '../engine/engine.ts';
import { engineWords } from '../engine/failures.ts';
import type { MachineFinding } from './finding.ts';
import { tryMachine } from './try-machine.ts';

/**
 * Checks whether machines can run here: finds the engine, asks it what it can limit, and starts a
 * machine from the image, in which it runs a command. Leaves nothing behind.
 */
export async function examineMachines(
  { engine: setting, image, networkRules }: { engine: string | undefined; image: string; networkRules: 'on' | 'off' },
  environment: EngineEnvironment,
): Promise<MachineFinding[]> {
  const { engine, attempts } = await discover(setting, environment, deadlines.connect);
  const tried = attempts.map(({ address, problem }) => `${address}: ${problem}`);
  if (engine === null)
    return [{ check: 'engine', problems: ['no container engine answers', ...tried, howToFix(tried)], note: '' }];
  const { name, version, address } = engine.info;
  const others = tried.length === 0 ? '' : ` (before it: ${tried.join(', ')})`;
  const found: MachineFinding = { check: 'engine', problems: [], note: `${name} ${version} at ${address}${others}` };
  return [found, ...(await examineSettings(engine)), ...(await tryMachine(engine, image, networkRules === 'on'))];
}

function howToFix(tried: string[]): string {
  if (tried.some((words) => words.includes('may not open')))
    return 'let this user open the socket: add it to the group of the socket (for Docker: usermod -aG docker USER, then log in again); who may do that owns the host';
  return 'start Docker (systemctl start docker) or Podman (systemctl start podman.socket), or name the address with --engine or SANDPIT_ENGINE';
}

async function examineSettings(engine: Engine): Promise<MachineFinding[]> {
  try {
    const description = await describeEngine(engine);
    return [examineLimits(description), examineRestarts(engine, description)];
  } catch (error) {
    return [{ check: 'limits', problems: [`the engine does not describe itself: ${engineWords(error)}`], note: '' }];
  }
}

function examineLimits({
  MemoryLimit,
  PidsLimit,
  CpuCfsQuota,
  CgroupVersion,
  NCPU,
  MemTotal = 0,
}: EngineDescription): MachineFinding {
  // Podman leaves out what it always can.
  const missing = [
    ...(MemoryLimit === false ? ['memory'] : []),
    ...(PidsLimit === false ? ['the number of processes'] : []),
    ...(CpuCfsQuota === false ? ['processor time'] : []),
  ];
  const fix =
    'turn on these cgroup controllers (kernel parameters cgroup_enable=memory swapaccount=1; rootless engines: Delegate=yes in systemd)';
  return {
    check: 'limits',
    problems: missing.length === 0 ? [] : [`the engine can't limit ${missing.join(', ')}: ${fix}`],
    note: `memory, processes and processors, cgroup v${CgroupVersion ?? '?'}; the host has ${NCPU} processors and ${Math.round(MemTotal / 2 ** 30)} GiB`,
  };
}

/** A daemon without live-restore is no problem; it is worth knowing. */
function examineRestarts({ isPodman }: Engine, { LiveRestoreEnabled }: EngineDescription): MachineFinding {
  const survives = isPodman || LiveRestoreEnabled === true;
  const note = survives
    ? 'machines run on while the engine restarts'
    : 'machines end when the Docker daemon restarts: "live-restore": true in /etc/docker/daemon.json keeps them';
  return { check: 'restarts', problems: [], note };
}
