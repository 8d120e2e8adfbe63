import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codePackages } from '../../../app/cli/templates/recipes.ts';
import { cached, debianArchive, librariesOf, pack, run } from './image-files.ts';

/** The template's own steps look for pip. */
const wanted = [...codePackages, 'pip==26.3'];
/** Where Debian's Python looks for packages that it did not install itself. */
const target = 'usr/local/lib/python3.11/dist-packages';

/**
 * Returns the path of a tar archive: the root of the small Debian system with what `sandpit
 * templates build code-interpreter` installs, and Node. The packages come from PyPI.
 */
export function codeArchive(): string {
  const base = debianArchive();
  return cached('code', [base, wanted, process.execPath, target], (file) => {
    const [folder, venv] = ['code', 'venv'].map((name) => mkdtempSync(join(tmpdir(), `sandpit-${name}-`))) as [
      string,
      string,
    ];
    try {
      const packages = join(folder, target);
      const options = ['--quiet', '--disable-pip-version-check', '--only-binary', ':all:', '--target', packages];
      // Debian's Python, which the image has as well, comes without pip.
      execFileSync('/usr/bin/python3', ['-m', 'venv', venv], { stdio: 'inherit' });
      execFileSync(join(venv, 'bin/python'), ['-m', 'pip', 'install', ...options, ...wanted], { stdio: 'inherit' });
      const modules = run('find', packages, '-name', '*.so*').trim().split('\n');
      // Those that the packages bring are among the packages.
      const libraries = librariesOf([...modules, process.execPath]).filter((path) => !path.startsWith(folder));
      pack(file, [], (root) => {
        execFileSync('tar', ['-xf', base, '-C', root]);
        const fresh = [...new Set(libraries)].filter((path) => !existsSync(join(root, path)));
        execFileSync('cp', ['--dereference', '--parents', ...fresh, root]);
        cpSync(folder, root, { recursive: true });
        cpSync(process.execPath, join(root, 'usr/local/bin/node'));
      });
    } finally {
      for (const each of [folder, venv]) rmSync(each, { recursive: true });
    }
  });
}
