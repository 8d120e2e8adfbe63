import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Debian packages whose files make up the image, as patterns of `dpkg-query`. */
const packages = [
  ...['bash', 'coreutils', 'findutils', 'grep', 'sed', 'gzip', 'tar', 'dash', 'procps', 'git', 'curl', 'sudo'],
  ...[
    'libpam-modules',
    'python3',
    'python3-minimal',
    'python3.*-minimal',
    'libpython3.*-minimal',
    'libpython3.*-stdlib',
  ],
];
const unneeded =
  /^\/(etc\/(pam\.d|sudoers|init\.d)|usr\/(include|share\/(?!git-core\/templates)|lib\/python3\.\d+\/test\/))|\.a$/;

/** Files that the image has beside those of the packages. */
const written: Record<string, string> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n',
  'etc/group': 'root:x:0:\nuser:x:1000:\n',
  'etc/shadow': 'root:*:20000:0:99999:7:::\nuser:*:20000:0:99999:7:::\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n',
  'etc/sudoers': 'Defaults env_reset\nroot ALL=(ALL:ALL) ALL\nuser ALL=(ALL:ALL) NOPASSWD: ALL\n',
  'etc/pam.d/sudo':
    'auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n',
  'etc/profile': 'umask 022\n',
};
const folders = ['home/user', 'root', 'tmp', 'var/tmp', 'proc', 'sys', 'dev', 'run', 'etc/sudoers.d', 'etc/pam.d'];
const debianLinks = { bin: 'usr/bin', sbin: 'usr/sbin', lib: 'usr/lib', lib64: 'usr/lib64' };
const certificates = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Returns the path of a tar archive: the root of a small Debian system with bash, git, curl, sudo
 * and Python, made from files of this machine. It stays in the temporary folder, and is made again
 * when a package changes.
 */
export function debianArchive(): string {
  const installed = run('dpkg-query', '--show', ...packages)
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([, version]) => version);
  return cached('debian', [installed, unneeded.source, isWanted.toString(), written, folders], (file) => {
    const owned = run('dpkg', '-L', ...installed.map(([name]) => name as string)).split('\n');
    const files = [...new Set(owned.map(merged))].filter(isWanted);
    const paths = [...new Set([...files, ...librariesOf(files), certificates])];
    pack(file, paths, (root) => {
      for (const [path, target] of Object.entries(debianLinks)) symlinkSync(target, join(root, path));
      for (const [path, text] of Object.entries(written)) writeFileSync(join(root, path), text);
      chmodSync(join(root, 'etc/sudoers'), 0o440);
      chmodSync(join(root, 'etc/shadow'), 0o600);
      chownSync(join(root, 'home/user'), 1000, 1000);
    });
  });
}

/** Returns the path of a tar archive with nothing but busybox: no bash, and no user `user`. */
export function busyboxArchive(): string {
  const program = '/bin/busybox';
  return cached('busybox', [statSync(program).mtimeMs, statSync(program).size], (file) =>
    pack(file, [], (root) => {
      rmSync(join(root, 'home/user'), { recursive: true });
      mkdirSync(join(root, 'bin'));
      writeFileSync(join(root, 'bin/busybox'), readFileSync(program), { mode: 0o755 });
      for (const name of run(program, '--list').trim().split('\n'))
        if (name !== 'busybox') symlinkSync('busybox', join(root, 'bin', name));
      writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
      writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
    }),
  );
}

/** Returns the archive that belongs to a recipe, which `make` writes unless it is there. */
export function cached(name: string, recipe: unknown, make: (file: string) => void): string {
  const hash = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16);
  const file = join(tmpdir(), `sandpit-test-${name}-${hash}.tar`);
  if (existsSync(file)) return file;
  // Several runs may make it at the same time.
  const part = `${file}.${process.pid}`;
  make(part);
  renameSync(part, file);
  return file;
}

/** Writes an archive of files of this machine and of a folder that `fill` fills. */
export function pack(file: string, paths: string[], fill: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'sandpit-image-'));
  try {
    for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
    chmodSync(root, 0o755);
    for (const folder of ['tmp', 'var/tmp']) chmodSync(join(root, folder), 0o1777);
    fill(root);
    const list = paths.map((path) => `.${path}\n`).join('');
    execFileSync('tar', ['-cf', file, '--numeric-owner', '--no-recursion', '-C', '/', '-T', '-'], { input: list });
    execFileSync('tar', ['-rf', file, '--numeric-owner', '-C', root, '.']);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Moves a path out of `/bin` and the like, which are links into `/usr` on today's Debian. */
function merged(path: string): string {
  return path.replace(/^\/(bin|sbin|lib|lib64)(?=\/)/, '/usr/$1');
}

function isWanted(path: string): boolean {
  if (unneeded.test(path) || path.slice(1) in debianLinks || !existsSync(path)) return false;
  return !lstatSync(path).isDirectory();
}

/** Returns the libraries that programs among these files load, and the links that lead to them. */
export function librariesOf(files: string[]): string[] {
  const programs = files.filter((path) => isProgram(path));
  const output = run('sh', '-c', 'ldd "$@" 2>/dev/null || true', 'ldd', ...programs);
  const found = [...output.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)].map(([, path]) => merged(path as string));
  return [...new Set(found)].flatMap((path) => [path, merged(run('realpath', path).trim())]);
}

function isProgram(path: string): boolean {
  if (!lstatSync(path).isFile()) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return path.includes('.so');
  }
}

export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
}
