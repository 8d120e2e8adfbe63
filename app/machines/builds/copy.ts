import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import type { BuildStep } from '../../../db/builds/spec.ts';
import { asRoot, directoryOf, expanded, ownerOf, printed, StepError, type Workplace } from './workplace.ts';

/**
 * Copies files of an archive into the machine, which unpacks it: nothing is unpacked on the host.
 * Throws what `doStep` throws.
 */
export async function copyFiles(place: Workplace, { args, filesHash }: BuildStep): Promise<void> {
  const [source = '', target = '', owner = '', mode = ''] = args;
  if (args.length < 2 || args.length > 4 || target === '') {
    throw new StepError('COPY takes a source and a target, and perhaps an owner and a mode');
  }
  if (!/^[0-7]{0,4}$/.test(mode))
    throw new StepError(`COPY can't use the mode '${mode}': give an octal number, e.g. 0755`);
  if (filesHash === null) throw new StepError('COPY needs the hash of the files that were uploaded for it');
  const path = await expanded(place, target);
  const whole = path.startsWith('/') ? path : `${await directoryOf(place)}/${path}`;
  const names = [sourceIn(source), whole, await ownerArgument(place, owner), mode];
  const files = await place.openFiles(filesHash);
  if (files === null)
    throw new StepError('COPY needs files that were not uploaded, or are no longer kept: build again');
  try {
    const args = [...names, (await isCompressed(files)) ? '-z' : ''];
    const input = files.createReadStream({ start: 0, autoClose: false, highWaterMark: readBytes });
    await printed(place, { ...asRoot, text: script, args, input });
  } finally {
    await files.close();
  }
}

/** How much of an archive is read at once. */
const readBytes = 262_144;

/** A user without a group has that user's own. */
async function ownerArgument(place: Workplace, given: string): Promise<string> {
  if (given === '') return ownerOf(place);
  return given.includes(':') ? given : `${given}:`;
}

/**
 * Returns the path in the archive that is to be copied. Clients have put in it what matches a
 * pattern, so that all below the directory before the pattern is meant. Throws StepError for a path
 * outside.
 */
function sourceIn(source: string): string {
  const parts = posix.normalize(source).split('/');
  const pattern = parts.findIndex((part) => /[*?[{\\]/.test(part));
  const path = pattern === -1 ? parts.join('/') : parts.slice(0, pattern).join('/');
  if (posix.isAbsolute(source) || parts[0] === '..') throw new StepError(`COPY can't take ${source}: it is outside`);
  return path === '' ? '.' : path.replace(/\/$/, '');
}

/** Returns whether gzip has compressed an archive: `tar` can't find out when it reads a pipe. */
async function isCompressed(files: FileHandle): Promise<boolean> {
  const { buffer } = await files.read(Buffer.alloc(2), 0, 2, 0);
  return buffer.readUInt16BE() === 0x1f8b;
}

/**
 * Unpacks beside the target, on the same disk, then moves: as Docker's COPY, a directory's content
 * is merged into the target, and a file gets the target's name, or goes into a target that ends
 * with a slash. GNU's tar merges into directories that are links and leaves those that exist as
 * they are; BusyBox has no such options, and `cp` stands in.
 */
const script = `set -eu
source=$1 target=$2 owner=$3 mode=$4 compressed=$5
command -v tar >/dev/null || { echo 'this image has no tar, which COPY needs' >&2; exit 1; }
near=$target
while [ ! -d "$near" ]; do near=$(dirname "$near"); done
work=$(mktemp -d "$near/.copy-XXXXXX")
trap 'chmod -R u+rwx "$work" 2>/dev/null || :; rm -rf "$work"' EXIT
tar -x $compressed -o -f - -C "$work"
from=$work/$source
if [ ! -e "$from" ] && [ ! -L "$from" ]; then
  echo "the archive of this step has no $source" >&2
  exit 1
fi
make_directory() {
  [ -d "$1" ] && return 0
  new=$1
  while [ ! -d "$(dirname "$new")" ]; do new=$(dirname "$new"); done
  mkdir -p "$1"
  chown -R "$owner" "$new"
}
chown -hR "$owner" "$from"
if [ -n "$mode" ] && [ ! -L "$from" ]; then chmod -R "$mode" "$from"; fi
if [ -d "$from" ] && [ ! -L "$from" ]; then
  make_directory "$target"
  if tar --help 2>&1 | grep -q keep-directory-symlink; then
    (cd "$from" && tar -cf - .) | tar -xf - -C "$target" --keep-directory-symlink --no-overwrite-dir
  else
    (cd "$from" && find . -mindepth 1 -maxdepth 1 -exec cp -a --remove-destination {} "$target" ';')
  fi
else
  case $target in
    */) make_directory "$target" ;;
    *) make_directory "$(dirname "$target")" ;;
  esac
  mv -f "$from" "$target"
fi`;
