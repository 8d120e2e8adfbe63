import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = join(tmpdir(), 'sandpit-test-microvm');

/**
 * Returns the path of the file or folder that belongs to a recipe, which `make` writes unless it is
 * there. What an older recipe gave under this name is removed.
 */
export function cached(name: string, recipe: unknown, make: (path: string) => void): string {
  mkdirSync(folder, { recursive: true });
  const hash = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16);
  const path = join(folder, `${name}-${hash}`);
  if (existsSync(path)) return path;
  for (const old of readdirSync(folder).filter((each) => each.startsWith(`${name}-`)))
    rmSync(join(folder, old), { recursive: true });
  // An interrupted run leaves the part, never a half file under the name.
  const part = join(folder, `${name}-part`);
  make(part);
  renameSync(part, path);
  return path;
}
