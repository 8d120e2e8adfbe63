import { gzipSync } from 'node:zlib';
import type { Request, Response } from 'express';
import { readAsset, readConsoleFile } from '../../spec/assets.ts';
import { stripTypes } from '../internals/strip-types.ts';

/** The libraries of the page, by the names under which its modules import them. */
export const libraries = {
  preact: 'preact.mjs',
  'preact/hooks': 'hooks.mjs',
  htm: 'htm.mjs',
  uplot: 'uplot.mjs',
  '@xterm/xterm': 'xterm.mjs',
  '@xterm/addon-fit': 'xterm-fit.mjs',
} as const;

const libraryFiles = [...Object.values(libraries), 'uplot.css', 'xterm.css'] as const;
type LibraryFile = (typeof libraryFiles)[number];

/** A file as browsers get it. */
type Served = { type: 'js' | 'css'; plain: Buffer; gzipped: Buffer };

const served = new Map<string, Served>();

/** Returns one of the page's own files; null if there is none of this name. */
export function ownFile(name: string): Served | null {
  if (!/^([a-z-]+\/)?[a-z-]+\.(ts|css)$/.test(name)) return null;
  return remembered(`own/${name}`, () => {
    const bytes = readConsoleFile(name);
    if (bytes === null) return null;
    return name.endsWith('.ts') ? Buffer.from(stripTypes(bytes.toString())) : bytes;
  });
}

/** Returns a file of a library; null if there is none of this name. */
export function libraryFile(name: string): Served | null {
  if (!libraryFiles.includes(name as LibraryFile)) return null;
  return remembered(`library/${name}`, () => readAsset(name as LibraryFile));
}

/** Sends a file, compressed if the client takes that. */
export function sendFile(req: Request, res: Response, { type, plain, gzipped }: Served): void {
  res.vary('Accept-Encoding').type(type);
  if (req.acceptsEncodings('gzip') !== 'gzip') return void res.send(plain);
  res.set('Content-Encoding', 'gzip').send(gzipped);
}

/** Reads a file at its first request, so that the page costs the server's start nothing. */
function remembered(key: string, read: () => Buffer | null): Served | null {
  const known = served.get(key);
  if (known) return known;
  const plain = read();
  if (plain === null) return null;
  const file: Served = { type: key.endsWith('.css') ? 'css' : 'js', plain, gzipped: gzipSync(plain) };
  served.set(key, file);
  return file;
}
