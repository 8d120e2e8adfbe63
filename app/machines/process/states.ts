import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isFile } from '../agent/program.ts';
import type { MachineState } from '../driver.ts';
import { MachineError } from '../error.ts';
import { endMachine, processesOf, send } from './end.ts';
import { findAgent, type Place } from './folder.ts';

const patienceMilliseconds = 5_000;
const retryMilliseconds = 2;

/** Returns the state of the agent, which the other processes of the machine follow. */
export function stateOf(place: Place): MachineState {
  const agent = findAgent(place);
  if (agent === null) return 'stopped';
  return agent.isStopped ? 'paused' : 'running';
}

/**
 * Stops all processes of a machine, the agent first: if this server dies meanwhile, the machine
 * counts as paused. Throws MachineError `timeout` if one goes on; then all go on.
 */
export async function freeze(place: Place): Promise<void> {
  const end = performance.now() + patienceMilliseconds;
  for (;;) {
    const { agent, programs } = processesOf(place);
    const all = [...(agent === null ? [] : [agent]), ...programs];
    const running = all.filter(({ isStopped }) => !isStopped);
    if (running.length === 0) return;
    if (performance.now() > end) {
      thaw(place);
      throw new MachineError('timeout', 'A process of the machine can not be paused.');
    }
    for (const each of running) send(each, 'SIGSTOP');
    // A parent that waits for its child to become a program stops only after that.
    const waiting = new Set(running.filter(({ isWaiting }) => isWaiting).map(({ pid }) => pid));
    for (const each of all) if (each.isStopped && waiting.has(each.parent)) send(each, 'SIGCONT');
    await delay(retryMilliseconds);
  }
}

/**
 * Lets all processes of a machine go on, the agent first, as in `freeze`. Shells go on after their
 * children, which otherwise seem stopped to them.
 */
export function thaw(place: Place): void {
  const { agent, programs } = processesOf(place);
  for (const each of [agent, ...programs.toReversed()]) if (each !== null) send(each, 'SIGCONT');
}

/** Ends all processes of a machine and notes that this was asked for. */
export async function halt(place: Place): Promise<void> {
  // Before the end, so that nobody takes it for a death.
  writeFileSync(place.halted, '');
  try {
    await endMachine(place);
  } catch (error) {
    forgetHalt(place);
    throw error;
  }
}

/** Returns whether a stopped machine was told to stop. */
export function wasHalted({ halted }: Place): boolean {
  return isFile(halted);
}

export function forgetHalt({ halted }: Place): void {
  rmSync(halted, { force: true });
}
