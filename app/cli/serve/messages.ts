import { hostOf, isWildcard } from '../../http/addresses.ts';
import type { SandpitServer } from '../../server.ts';

export function missingLogWarning(file: string): string {
  return `Warning: the last server did not close ${file}, and its write-ahead log ${file}-wal is missing. \
If this is a copy of a database in use, it lacks the latest changes.\n`;
}

export function plainTextWarning(host: string): string {
  return `Warning: ${isWildcard(host) ? 'this server' : host} is open to the network without TLS, so API keys can be read in transit. \
Use --tls-cert and --tls-key, or listen on 127.0.0.1 behind a TLS proxy.\n`;
}

export const metricsWarning =
  'Warning: metrics are open to the network without TLS, so their token can be read in transit.\n';

export function greeting(server: SandpitServer, url: string): string {
  const { config, contract } = server.context;
  const [metrics, ssh] = [server.metricsUrl(), server.sshPort()];
  const lines = [
    `Sandpit ${contract.info.version} answers on ${url}${isWildcard(config.host) ? " and at this machine's other addresses" : ''}`,
    `${config.console ? `Console: ${url}/console/   ` : ''}API reference: ${url}/docs   database: ${config.db}`,
    ...(ssh ? [`SSH: ssh -p ${ssh} <sandbox id>@${hostOf(new URL(url))}`] : []),
    ...(metrics ? [`Metrics: ${metrics}${config.metricsToken ? ', with the token' : ''}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * `key` is null when the operator chose it: then it does not belong in a container's log. `link` is
 * the token of a link to the console; null: nobody watches who could open it.
 */
export function welcome(url: string, key: string | null, link: string | null): string {
  const shown = key ? `this API key, which is not shown again:\n\n  ${key}` : 'the API key from your settings.';
  const open =
    link === null
      ? ''
      : `\nSee it in a browser (this link works once, for ten minutes):\n\n  ${url}/console/#link=${link}\n`;
  return `
This database is new. User admin was created, with ${shown}

Try it:

  curl -H 'X-API-Key: ${key ?? '...'}' ${url}/v1/sessions/sandboxes
${open}
`;
}
