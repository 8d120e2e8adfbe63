import express, { type Express } from 'express';
import { admission } from './admission.ts';
import { errorHandler, notFound } from './errors.ts';
import { addSecurityHeaders, crossOrigin } from './headers.ts';
import { sendPlainJson } from './json-answers.ts';
import { requestLog } from './log.ts';
import { requestMetrics } from './metrics.ts';
import { queryParser } from './query.ts';
import { normalTarget } from './request-target.ts';
import { apiKeysRoutes } from './routes/api-keys.ts';
import { auditRoutes } from './routes/audit.ts';
import { authRoutes } from './routes/auth.ts';
import { bulkRoutes } from './routes/bulk.ts';
import { docsRoutes } from './routes/docs.ts';
import { e2bEnvdRoutes } from './routes/e2b-envd.ts';
import { e2bSandboxesRoutes } from './routes/e2b-sandboxes.ts';
import { e2bSnapshotsRoutes } from './routes/e2b-snapshots.ts';
import { refuseBadId, refuseFilterToo, sessionsRoutes } from './routes/sessions.ts';
import { snapshotsRoutes } from './routes/snapshots.ts';
import { systemRoutes } from './routes/system.ts';
import { testRoutes } from './routes/test.ts';
import { vmsRoutes } from './routes/vms.ts';
import { webhooksRoutes } from './routes/webhooks.ts';
import type { Context } from './server.ts';
import { injectFaults, recordRequests } from './test-mode/mode.ts';
import { validator } from './validator.ts';

/** Returns the application: what every request goes through, in this order. */
export function createApp(context: Context): Express {
  const app = express();
  // Whatever else express may say, it is without a stack.
  app.set('env', 'production');
  app.disable('x-powered-by');
  app.disable('etag');
  // No answer has an ETag or Last-Modified, so none is ever "not modified", whatever If-None-Match says.
  Object.defineProperty(app.request, 'fresh', { value: false });
  app.enable('case sensitive routing');
  app.set('trust proxy', context.config.trustProxy);
  app.set('query parser', queryParser(context.contract));
  addSecurityHeaders(app, context.config);
  sendPlainJson(app);

  app.use(requestLog(context), normalTarget);
  if (context.config.metricsPort !== undefined) app.use(requestMetrics(context));
  if (context.test) app.use(recordRequests(context, context.test));
  // A page is to see its refusal, too.
  for (const handler of crossOrigin(context.config, context.contract)) app.use(handler);
  if (context.test) app.use(injectFaults(context.test));
  app.use(admission(context));
  app.use(validator(context));
  app.use(sessionsRoutes(context));
  app.use(vmsRoutes(context));
  app.use(snapshotsRoutes(context));
  app.use(bulkRoutes(context));
  app.use(apiKeysRoutes(context));
  app.use(auditRoutes(context));
  app.use(authRoutes(context));
  app.use(e2bSandboxesRoutes(context));
  app.use(e2bSnapshotsRoutes(context));
  app.use(e2bEnvdRoutes(context));
  app.use(webhooksRoutes(context));
  app.use(systemRoutes(context));
  if (context.test) app.use(testRoutes(context, context.test));
  app.use(docsRoutes());
  app.use(notFound);
  app.use(refuseFilterToo(context));
  app.use('/kill', refuseBadId);
  // Twice: what the first answers may break the contract, too.
  app.use(errorHandler(context), errorHandler(context));
  return app;
}
