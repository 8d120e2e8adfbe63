/**
 * Deletes the password and the CA certificate of egress proxies, which earlier versions stored:
 * nothing uses them.
 */
export const proxySecrets = {
  id: 13,
  name: 'proxy-secrets',
  rewrites: true,
  sql: `
    update sandboxes
    set settings = json_remove(settings, '$.network.egressProxy.password', '$.network.egressProxy.tls.caCert')
    where settings like '%"egressProxy"%';
  `,
};
