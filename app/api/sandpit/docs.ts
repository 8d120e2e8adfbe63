import { Router } from 'express';
import { readAsset } from '../../../spec/assets.ts';

/** The page needs nothing from other hosts, so the browser is told to load nothing from them. */
const contentSecurityPolicy = [
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'",
  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
].join('; ');

/** All URLs are relative, so that the page works behind a proxy that adds a path prefix. */
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandpit API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

/** The contract names no server, so the page's own requests go to the host that served it. */
const startScript = `fetch('openapi.json').then((answer) => answer.json()).then((contract) => {
  const spec = { ...contract, servers: [{ url: new URL('.', location.href).href }] };
  SwaggerUIBundle({ spec, dom_id: '#reference', validatorUrl: null, deepLinking: true });
});
`;

/** The API reference page `/docs`: Swagger UI and its files. `/` redirects browsers to it. */
export function docsRoutes(): Router {
  const router = Router({ strict: true });
  router.get('/', (req, res, next) => (req.accepts('html') ? res.redirect('docs') : next()));
  router.get('/docs/', (_req, res) => res.redirect('../docs'));
  router.get(
    '/docs',
    (_req, res) => void res.set('Content-Security-Policy', contentSecurityPolicy).type('html').send(page),
  );
  router.get('/docs/start.js', (_req, res) => void res.type('js').send(startScript));
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js'] as const) {
    router.get(
      `/docs/${file}`,
      (_req, res) => void res.set('Cache-Control', 'public, max-age=3600').type(file).send(readAsset(file)),
    );
  }
  return router;
}
