import { accessSync, constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentFile } from '../agent/program.ts';
import { MachineError } from '../error.ts';
import { remembered } from './remembered.ts';
import { findMsb } from './runtime/find.ts';
import { Msb } from './runtime/msb.ts';
import { featuresOf } from './runtime/version.ts';

const readMilliseconds = 2000;
/** What the boot of a machine may take, which takes a tenth of it. */
const bootMilliseconds = 5000;
const removeMilliseconds = 2000;
const name = 'sandpit-probe';

/**
 * Returns why microVMs don't run here and what to do, in a sentence; null if they do: a small one
 * has booted then, or lately if `memory` names a file that remembers it. Takes some seconds at
 * most.
 */
export async function whyNot(
  setting: string | undefined,
  env: NodeJS.ProcessEnv,
  { device = '/dev/kvm', memory }: { device?: string; memory?: string | undefined } = {},
): Promise<string | null> {
  const reason = deviceProblem(device);
  if (reason !== null) return reason;
  const path = findMsb(setting, env);
  if (path === null)
    return setting === undefined
      ? 'microsandbox is missing: install its program msb, from https://microsandbox.dev or with "npm install", or name it with --msb'
      : `--msb names ${setting}, which is no program`;
  const trial = () =>
    bootProblem(path, env).catch((error) => (error instanceof MachineError ? error.message : String(error)));
  return memory === undefined ? trial() : remembered(memory, path, trial);
}

function deviceProblem(device: string): string | null {
  if (process.platform === 'darwin') return process.arch === 'arm64' ? null : 'microVMs need a Mac with Apple silicon';
  if (process.platform !== 'linux') return `microVMs need Linux or macOS, not ${process.platform}`;
  if (!existsSync(device))
    return `there is no ${device}: turn virtualization on in the firmware, or nested virtualization at the host, then modprobe kvm_intel or kvm_amd`;
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return null;
  } catch {
    return `this user may not open ${device}: add it to the group kvm, e.g. with "sudo usermod -aG kvm $USER", and log in again`;
  }
}

/** The device may be there and not work: only a machine that boots shows that it does. */
async function bootProblem(path: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  // Not always in memory, as the folder for temporary files: msb's file systems need a disk's.
  const folder = mkdtempSync(join(existsSync('/var/tmp') ? '/var/tmp' : tmpdir(), 'sandpit-probe-'));
  const msb = new Msb(path, join(folder, 'home'), env);
  try {
    featuresOf(await msb.run(['--version'], { doing: 'say its version', milliseconds: readMilliseconds }));
    await msb.run(['doctor'], { doing: 'find virtualization', milliseconds: readMilliseconds });
    await boot(msb, folder);
    return null;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function boot(msb: Msb, folder: string): Promise<void> {
  const root = join(folder, 'root');
  mkdirSync(root);
  copyFileSync(agentFile(folder), join(root, 'agent'));
  try {
    const args = ['create', '-q', '--name', name, '--memory', '128M', '--cpus', '1', '--no-net', root];
    await msb.run(args, { doing: 'boot a machine', milliseconds: bootMilliseconds });
  } finally {
    const removal = { doing: 'remove a machine', milliseconds: removeMilliseconds };
    await msb.run(['remove', '-f', name], removal).catch(() => {
      // It did not get as far as a machine, or the next look at what runs here shows one too many.
    });
  }
}
