import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached } from './cache.ts';

/** What the outer machine needs beside what Debian builds into its kernel. */
const modules = ['kvm-amd', 'ext4', 'crc32c_generic', 'virtio_pci', 'virtio_blk', 'virtio_net'];
const program = fileURLToPath(new URL('./outer/initramfs', import.meta.url));

export type Kernel = { kernel: string; initramfs: string };

/**
 * Returns the paths of Debian's kernel, downloaded once, and of an initramfs that starts a disk.
 */
export function debianKernel(): Kernel {
  const name = packageName();
  const folder = cached('kernel', name, (part) => download(name, part));
  const version = name.replace('linux-image-', '');
  const recipe = [name, modules, readFileSync(program, 'utf8')];
  const initramfs = cached('initramfs', recipe, (part) => pack(join(folder, 'lib/modules', version), part));
  return { kernel: join(folder, `boot/vmlinuz-${version}`), initramfs };
}

function packageName(): string {
  const words = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
  const [, name] = /Depends: (linux-image-\S+)/.exec(words) ?? [];
  if (name === undefined) throw new Error('apt-cache knows no kernel: run apt-get update');
  return name;
}

function download(name: string, folder: string): void {
  inTemporaryFolder((work) => {
    execFileSync('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', name], { cwd: work });
    const [file = ''] = readdirSync(work);
    execFileSync('dpkg-deb', ['-x', join(work, file), folder]);
    const version = name.replace('linux-image-', '');
    execFileSync('/bin/busybox', ['depmod', '-b', folder, version]);
  });
}

function pack(from: string, file: string): void {
  inTemporaryFolder((root) => {
    for (const folder of ['bin', 'dev', 'modules', 'proc', 'root', 'sys']) mkdirSync(join(root, folder));
    const order = inOrder(readFileSync(join(from, 'modules.dep'), 'utf8'));
    for (const path of order) copyFileSync(join(from, path), join(root, 'modules', basename(path)));
    writeFileSync(join(root, 'modules/order'), order.map((path) => `${basename(path)}\n`).join(''));
    copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
    copyFileSync(program, join(root, 'init'));
    chmodSync(join(root, 'init'), 0o755);
    execFileSync('sh', ['-c', 'find . | cpio --create --format newc --quiet >"$0"', file], { cwd: root });
  });
}

/** Returns the paths of the modules and of all that they need, each after what it needs. */
function inOrder(list: string): string[] {
  const needs = new Map(
    list.split('\n').map((line) => {
      const [path = '', rest = ''] = line.split(':');
      return [path, rest.split(' ').filter((each) => each !== '')];
    }),
  );
  const order = new Set<string>();
  const add = (path: string) => {
    for (const needed of needs.get(path) ?? []) add(needed);
    order.add(path);
  };
  for (const name of modules) {
    const path = [...needs.keys()].find((each) => basename(each) === `${name}.ko`);
    if (path === undefined) throw new Error(`Debian's kernel has no module ${name}`);
    add(path);
  }
  return [...order];
}

function inTemporaryFolder(use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'sandpit-microvm-'));
  try {
    use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
