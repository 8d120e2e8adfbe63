/**
 * Webhooks that want `vm.killed` also get `vm.died`: the end of a sandbox whose machine is gone had
 * the kind `vm.killed` before.
 */
export const diedEvents = {
  id: 21,
  name: 'died-events',
  rewrites: true,
  sql: `
    update webhook_endpoints set event_patterns = json_insert(event_patterns, '$[#]', 'vm.died')
    where exists (select 1 from json_each(event_patterns) where value = 'vm.killed');
  `,
};
