import { existsSync } from 'node:fs';
import { arch, platform } from 'node:process';

const drivers = ['process', 'docker'] as const;

/** What runs the machines of these tests. */
export type Target = {
  /** e.g. `Docker`, or `the process driver` */
  title: string;
  /** Whether machines are containers, with users and a root folder of their own. */
  isEngine: boolean;
  /** The flags of `sandpit serve`. */
  flags: string[];
};

/**
 * The target that the environment names: `TEST_ENGINE` is the address of an engine and `TEST_IMAGE`
 * an image that it has. Without them it is the process driver, which needs neither.
 */
export const target: Target = targetOf(process.env.TEST_ENGINE, process.env.TEST_IMAGE, process.env.TEST_ENGINE_NAME);

/** Why these tests can't run here, in words; null if they can. */
export const obstacle: string | null = obstacleOf();

function targetOf(engine = '', image = '', name = 'the engine'): Target {
  if (engine === '') return { title: 'the process driver', isEngine: false, flags: ['--machines', drivers[0]] };
  if (image === '') throw new Error('TEST_ENGINE is set: set TEST_IMAGE to an image that it has');
  return { title: name, isEngine: true, flags: ['--machines', drivers[1], '--engine', engine, '--image', image] };
}

function obstacleOf(): string | null {
  if (target.isEngine) return null;
  if (platform !== 'linux') return 'the agent runs on Linux only';
  const agent = new URL(`../../../app/machines/agent/built/agent-${arch}`, import.meta.url);
  return existsSync(agent) ? null : `there is no agent for ${arch}`;
}
