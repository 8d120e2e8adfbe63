import { createHash, randomBytes } from 'node:crypto';
import { type RequestHandler, Router } from 'express';
import type { Context } from '../context.ts';
import { libraries, libraryFile, ownFile, sendFile } from './files.ts';

const imports = Object.entries(libraries).map(([name, file]) => [name, `./library/${file}`]);
const importMap = JSON.stringify({ imports: Object.fromEntries(imports) });
const importMapHash = createHash('sha256').update(importMap).digest('base64');

/**
 * The page loads nothing from other hosts, and runs no script but its own. The nonce is for the
 * style elements that the terminal makes.
 */
function policy(nonce: string): string {
  return [
    `default-src 'none'; script-src 'self' 'sha256-${importMapHash}'; style-src 'self' 'nonce-${nonce}'`,
    "connect-src 'self'; img-src 'self' data:; font-src 'self'",
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  ].join('; ');
}

/** All addresses are relative, so that the page works behind a proxy that adds a path prefix. */
function page(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sandpit</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page/style.css">
<script type="importmap">${importMap}</script>
<script type="module" src="page/main.ts"></script>
</head>
<body data-nonce="${nonce}">
<div id="app"><noscript>The console needs JavaScript.</noscript></div>
</body>
</html>
`;
}

/**
 * The console: a page that calls the public API. Its modules are TypeScript; browsers get them with
 * their types blanked out. `/` redirects browsers to it.
 */
export function consoleRoutes({ config }: Pick<Context, 'config'>): Router {
  const router = Router({ strict: true });
  if (!config.console) return router;
  router.get('/', (req, res, next) => (req.accepts('html') ? res.redirect('console/') : next()));
  router.get('/console', (_req, res) => res.redirect('console/'));
  router.get('/console/', (_req, res) => {
    const nonce = randomBytes(16).toString('base64');
    res.set('Content-Security-Policy', policy(nonce)).type('html').send(page(nonce));
  });
  router.get('/console/page/*name', serveOwn);
  router.get('/console/library/:name', serveLibrary);
  return router;
}

const serveOwn: RequestHandler<{ name: string[] }> = (req, res, next) => {
  const file = ownFile(req.params.name.join('/'));
  if (file === null) return next();
  sendFile(req, res.set('Cache-Control', 'no-cache'), file);
};

const serveLibrary: RequestHandler<{ name: string }> = (req, res, next) => {
  const file = libraryFile(req.params.name);
  if (file === null) return next();
  sendFile(req, res.set('Cache-Control', 'public, max-age=3600'), file);
};
