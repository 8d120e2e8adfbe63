import express, { type Express } from 'express';
import { e2bSandboxesRoutes } from './api/e2b/sandboxes.ts';
import { e2bSnapshotsRoutes } from './api/e2b/snapshots.ts';
import { e2bEnvdRoutes } from './api/envd/routes.ts';
import { refuseBadId, refuseFilterToo, sessionsRoutes } from './api/instavm/sessions.ts';
import { snapshotsRoutes } from './api/instavm/snapshots.ts';
import { vmsRoutes } from './api/instavm/vms.ts';
import { apiKeysRoutes } from './api/sandpit/api-keys.ts';
import { auditRoutes } from './api/sandpit/audit.ts';
import { authRoutes } from './api/sandpit/auth.ts';
import { bulkRoutes } from './api/sandpit/bulk.ts';
import { docsRoutes } from './api/sandpit/docs.ts';
import { systemRoutes } from './api/sandpit/system.ts';
import { webhooksRoutes } from './api/sandpit/webhooks.ts';
import { injectFaults, recordRequests, type TestMode } from './api/test-mode/mode.ts';
import { testRoutes } from './api/test-mode/routes.ts';
import type { Context } from './context.ts';
import { queryParser } from './contract/query.ts';
import { validator } from './contract/validator.ts';
import { errorHandler, notFound } from './error-handler.ts';
import { admission } from './http/admission/slots.ts';
import { addSecurityHeaders, crossOrigin } from './http/headers.ts';
import { setJsonType } from './http/json.ts';
import { requestLog } from './http/request-log.ts';
import { requestMetrics } from './http/request-metrics.ts';
import { normalTarget } from './http/request-target.ts';

/** Returns the application: what every request goes through, in this order. */
export function createApp(context: Context, test: TestMode | undefined): Express {
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
  setJsonType(app);

  app.use(requestLog(context), normalTarget);
  if (context.metrics) app.use(requestMetrics(context.metrics));
  if (test) app.use(recordRequests(context, test));
  // A page is to see its refusal, too.
  for (const handler of crossOrigin(context.config, context.contract)) app.use(handler);
  if (test) app.use(injectFaults(test));
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
  if (test) app.use(testRoutes(context, test));
  app.use(docsRoutes());
  app.use(notFound);
  app.use(refuseFilterToo(context));
  app.use('/kill', refuseBadId);
  // Twice: what the first answers may break the contract, too.
  app.use(errorHandler(context), errorHandler(context));
  return app;
}
