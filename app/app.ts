import express, { type Express } from 'express';
import { e2bEventsRoutes } from './api/e2b/events.ts';
import { e2bSandboxesRoutes } from './api/e2b/sandboxes.ts';
import { e2bSnapshotsRoutes } from './api/e2b/snapshots.ts';
import { e2bAliasesRoutes } from './api/e2b/templates/aliases.ts';
import { e2bBuildsRoutes } from './api/e2b/templates/builds.ts';
import { e2bBuildFilesRoutes } from './api/e2b/templates/files.ts';
import { e2bTagsRoutes } from './api/e2b/templates/tags.ts';
import { e2bTemplatesRoutes } from './api/e2b/templates/templates.ts';
import { e2bWebhooksRoutes } from './api/e2b/webhooks.ts';
import { forwardPorts, sandboxHosts } from './api/envd/hosts.ts';
import { envdRoutes } from './api/envd/routes.ts';
import { creditsRoutes } from './api/instavm/credits.ts';
import { customDomainsRoutes } from './api/instavm/custom-domains.ts';
import { addFilterProblems } from './api/instavm/filter.ts';
import { machineRoutes } from './api/instavm/machine/routes.ts';
import { terminalSockets } from './api/instavm/machine/terminals/sockets.ts';
import { explainSessionId, sessionsRoutes } from './api/instavm/sessions.ts';
import { snapshotsRoutes } from './api/instavm/snapshots.ts';
import { sshKeysRoutes } from './api/instavm/ssh-keys.ts';
import { templatesRoutes } from './api/instavm/templates.ts';
import { usersRoutes } from './api/instavm/users.ts';
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
import { consoleRoutes } from './console/routes.ts';
import type { Context } from './context.ts';
import { queryParser } from './contract/query.ts';
import { validator } from './contract/validator.ts';
import { errorHandlers, notFound } from './error-handler.ts';
import { admission } from './http/admission/admission.ts';
import { addSecurityHeaders, crossOrigin } from './http/headers.ts';
import { setJsonType } from './http/json.ts';
import { requestLog } from './http/request-log.ts';
import { requestMetrics } from './http/request-metrics.ts';
import { normalTarget } from './http/request-target.ts';
import { neverAnswerNotModified } from './internals/not-modified.ts';
import { refuseUnsupported } from './machines/unsupported.ts';

/** Returns the application. Each request passes these handlers in this order. */
export function createApp(context: Context, test: TestMode | undefined): Express {
  const app = express();
  configure(app, context);
  addSecurityHeaders(app, context.config);
  setJsonType(app);

  app.use(requestLog(context), normalTarget);
  app.use(requestMetrics(context));
  if (test) app.use(recordRequests(context, test));
  const admit = admission(context);
  // Before everything that is for Sandpit's own operations only.
  if (context.machines) app.use(forwardPorts(context, context.machines, admit), terminalSockets(context));
  // Before anything that refuses requests: a browser hides a response that lacks CORS headers.
  for (const handler of crossOrigin(context.config, context.contract)) app.use(handler);
  if (test) app.use(injectFaults(test));
  app.use(admit, sandboxHosts(context), validator(context));

  app.use(refuseUnsupported(context.contract, context.machines?.driver ?? null));
  app.use(sessionsRoutes(context), vmsRoutes(context), snapshotsRoutes(context), customDomainsRoutes(context));
  app.use(templatesRoutes(context), usersRoutes(context), sshKeysRoutes(context), creditsRoutes(context));
  app.use(machineRoutes(context));
  app.use(e2bSandboxesRoutes(context), e2bSnapshotsRoutes(context));
  // In this order: `/templates/tags` is no template.
  app.use(e2bAliasesRoutes(context), e2bTagsRoutes(context), e2bTemplatesRoutes(context));
  app.use(e2bBuildsRoutes(context), e2bBuildFilesRoutes(context), envdRoutes(context));
  app.use(e2bEventsRoutes(context), e2bWebhooksRoutes(context));
  app.use(bulkRoutes(context), apiKeysRoutes(context), auditRoutes(context), authRoutes(context));
  app.use(webhooksRoutes(context), systemRoutes(context), consoleRoutes(context), docsRoutes());
  if (test) app.use(testRoutes(context, test));

  app.use(notFound, ...errorHandlers(context, [addFilterProblems(context), explainSessionId]));
  return app;
}

function configure(app: Express, { config, contract }: Context): void {
  // In other environments, Express adds stack traces to its own error pages.
  app.set('env', 'production');
  app.disable('x-powered-by');
  app.disable('etag');
  neverAnswerNotModified(app);
  app.enable('case sensitive routing');
  app.set('trust proxy', config.trustProxy);
  app.set('query parser', queryParser(contract));
}
