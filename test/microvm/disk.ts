import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianArchive } from '../machines/engines/image-files.ts';
import { cached } from './cache.ts';
import { writeImageArchive } from './oci.ts';

/** The wheel of PyPI that has `msb` and its kernel inside. */
const wheel = 'microsandbox==0.7.11';
/** The image that `msb` has on the disk. */
export const image = 'localhost/sandpit-test:latest';
/** Where `msb` keeps its files in the outer machine. */
const home = '/data/msb';
/** Where the files beside this one are on the disk. */
const scripts = { init: 'init', 'control.py': 'control.py', msb: 'opt/sandpit/msb' };
const outer = fileURLToPath(new URL('./outer/', import.meta.url));

/**
 * Returns the path of an ext4 disk: the root of a small Debian system with `msb`, which has loaded
 * the image. Loading needs no virtualization, so it happens here, where nothing is emulated.
 */
export function outerDisk(): string {
  const archive = debianArchive();
  const texts = Object.keys(scripts).map((name) => readFileSync(join(outer, name), 'utf8'));
  return cached('disk.ext4', [archive, wheel, image, home, scripts, texts, process.execPath], (part) => {
    const root = `${part}-root`;
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root);
    try {
      fill(root, archive);
      execFileSync('truncate', ['--size', '6G', part]);
      execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, part]);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
}

function fill(root: string, archive: string): void {
  execFileSync('tar', ['-xf', archive, '-C', root]);
  for (const folder of ['data', 'opt/msb', 'opt/sandpit']) mkdirSync(join(root, folder), { recursive: true });
  const runtime = msbFolder();
  for (const folder of ['bin', 'lib'])
    cpSync(join(runtime, folder), join(root, 'opt/msb', folder), { recursive: true });
  // The executable of Sandpit needs what Node needs.
  const libraries = execFileSync('ldd', [join(runtime, 'bin/msb'), process.execPath], { encoding: 'utf8' });
  for (const [, path = ''] of libraries.matchAll(/=> (\/\S+)/g)) addLibrary(root, path);
  copyFileSync('/bin/busybox', join(root, 'usr/bin/busybox'));
  for (const [name, path] of Object.entries(scripts)) {
    copyFileSync(join(outer, name), join(root, path));
    chmodSync(join(root, path), 0o755);
  }
  loadImage(runtime, root, archive);
}

function addLibrary(root: string, path: string): void {
  const target = join(root, path);
  if (!existsSync(target)) copyFileSync(path, target);
}

function loadImage(runtime: string, root: string, archive: string): void {
  const file = `${root}.oci`;
  const here = join(root, home);
  try {
    writeImageArchive(archive, image, file);
    const env = { ...process.env, MSB_HOME: here, NO_COLOR: '1' };
    execFileSync(join(runtime, 'bin/msb'), ['load', '--quiet', '--input', file], { env });
  } finally {
    rmSync(file, { force: true });
  }
  // The descriptors of its disks name files by their whole paths.
  const descriptors = join(here, 'cache/vmdk');
  for (const name of readdirSync(descriptors).filter((each) => each.endsWith('.vmdk'))) {
    const descriptor = join(descriptors, name);
    writeFileSync(descriptor, readFileSync(descriptor, 'utf8').replaceAll(here, home));
  }
}

/** Returns the folder of `msb` and its kernel, downloaded once. */
function msbFolder(): string {
  const folder = cached('msb', wheel, (part) => {
    // Debian's own Python may have no pip.
    const venv = `${part}-venv`;
    execFileSync('python3', ['-m', 'venv', venv]);
    try {
      const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--target', part];
      execFileSync(join(venv, 'bin/pip'), ['install', ...options, wheel]);
    } finally {
      rmSync(venv, { recursive: true });
    }
  });
  return join(folder, 'microsandbox/_bundled');
}
