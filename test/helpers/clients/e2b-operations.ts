import { operations } from '../contract.ts';

type Wrong = { query?: string[]; body?: object[] };

const tooLong = [{ timeout: 86_401 }, { timeout: -1 }, { timeout: 1.5 }, { timeout: '60' }, { timeout: null }];
const creating = [
  ...[{ templateID: '' }, { templateID: 'x'.repeat(257) }, { templateID: 5 }, { templateID: 'a b' }, { timeout: 0 }],
  ...[{ metadata: [] }, { metadata: { a: 1 } }, { metadata: null }, { metadata: { a: 'x'.repeat(65_536) } }],
  ...[{ envVars: { A: null } }, { autoPause: 'yes' }, { autoPauseMemory: false }, { autoResume: {} }],
  ...[{ network: { allowOut: 'a' } }, { network: { httpsPorts: ['a'] } }],
  ...[{ allow_internet_access: 'no' }],
].map((given) => ({ templateID: 'base', ...given }));
const range = ['limit=0', 'limit=101', 'limit=a', 'nextToken=a'];

const badPages = ['limit=0', 'limit=101', 'offset=-1', 'types=a', 'orderAsc=a'];
const hook = {
  name: 'a',
  url: 'https://example.com/',
  events: ['sandbox.lifecycle.created'],
  signatureSecret: 'a',
};

/** For every operation: a valid request, and requests that it refuses with 400. */
export const table: Record<string, { body?: object; wrong?: Wrong }> = {
  e2b_list_running: { wrong: { query: ['metadata=a'] } },
  e2b_create: { body: { templateID: 'base' }, wrong: { body: [{}, { timeout: 5 }, ...creating, ...based(tooLong)] } },
  e2b_list_v2: { wrong: { query: [...range, 'metadata=a', 'state=a', 'startedAfter=a', 'template=a:b', 'order=a'] } },
  e2b_create_v2: { body: { templateID: 'base' }, wrong: { body: [{}, ...creating, ...based(tooLong)] } },
  e2b_list_metrics: {
    wrong: { query: ['', 'sandbox_ids=', 'sandbox_ids=a,a', `sandbox_ids=${[...Array(101).keys()]}`] },
  },
  e2b_get: {},
  e2b_kill: {},
  e2b_connect: { body: { timeout: 60 }, wrong: { body: [{}, ...tooLong, { timeout: 1, memory: 'yes' }] } },
  e2b_connect_v2: { body: {}, wrong: { body: [...tooLong, { memory: 'yes' }] } },
  e2b_set_timeout: { body: { timeout: 60 }, wrong: { body: [{}, ...tooLong.slice(1), { timeout: 2 ** 31 }] } },
  e2b_refresh: { body: {}, wrong: { body: [{ duration: -1 }, { duration: 3601 }, { duration: '15' }] } },
  e2b_pause: { body: {}, wrong: { body: [{ memory: 'yes' }, { memory: null }] } },
  e2b_resume: { body: {}, wrong: { body: [...tooLong, { memory: 'yes' }, { autoPause: 1 }] } },
  e2b_get_metrics: { wrong: { query: ['start=a', 'end=-1', 'start=1.5'] } },
  e2b_get_logs: { wrong: { query: ['start=a', 'limit=-1'] } },
  e2b_update_network: {
    body: {},
    wrong: { body: [{ allowOut: [1] }, { rules: [] }, { allow_internet_access: null }] },
  },
  e2b_create_snapshot: { body: {}, wrong: { body: [{ name: '' }, { name: 'a b' }, { name: 'x/y' }, { name: 5 }] } },
  e2b_fork: { body: {}, wrong: { body: [...tooLong, { timeout: 0 }, { count: 0 }, { count: 101 }, { count: '2' }] } },
  e2b_list_snapshots: { wrong: { query: [...range, 'name=', 'name=a%20b'] } },
  e2b_get_logs_v2: { wrong: { query: ['cursor=a', 'limit=-1', 'direction=a', 'level=a'] } },
  e2b_list_templates: {},
  e2b_list_templates_v2: { wrong: { query: range } },
  e2b_list_default_templates: {},
  e2b_get_template_alias: {},
  e2b_get_template: { wrong: { query: range } },
  e2b_update_template: { body: { public: false }, wrong: { body: [{ more: 1 }] } },
  e2b_update_template_v2: { body: { public: false }, wrong: { body: [{ more: 1 }] } },
  e2b_assign_tags: {
    body: { target: 'a', tags: ['b'] },
    wrong: { body: [{}, { target: 'a' }, { target: 'a', tags: [] }] },
  },
  e2b_remove_tags: { body: { name: 'a', tags: ['b'] }, wrong: { body: [{}, { name: 'a' }, { name: 'a', tags: [] }] } },
  e2b_list_tags: {},
  e2b_count_tags: {},
  e2b_tag_exists: { wrong: { query: [''] } },
  e2b_delete_template: {},
  e2b_list_events: { wrong: { query: badPages } },
  e2b_list_sandbox_events: { wrong: { query: badPages } },
  e2b_list_webhooks: {},
  e2b_create_webhook: {
    body: hook,
    wrong: { body: [{}, { ...hook, url: 'ftp://a/' }, { ...hook, events: [] }, { ...hook, signatureSecret: '' }] },
  },
  e2b_get_webhook: {},
  e2b_update_webhook: { body: {}, wrong: { body: [{ name: '' }, { events: ['a'] }, { enabled: null }] } },
  e2b_delete_webhook: {},
};

function based(bodies: object[]): object[] {
  return bodies.map((body) => ({ templateID: 'base', ...body }));
}

/** Every operation of E2B's dialect. */
export const e2bOperations = operations.filter(({ operation }) =>
  tagsOf(operation).some((tag) => tag.startsWith('e2b-')),
);
/**
 * The operations that require a credential and no machines, with their entry of the table. Those
 * that build have tests of their own, with machines.
 */
export const controlOperations = e2bOperations
  .filter(({ operation }) => !tagsOf(operation).some((tag) => ['e2b-envd', 'e2b-code', 'e2b-builds'].includes(tag)))
  .map(({ method, path, operation }) => ({
    method: method as 'post',
    path,
    id: operation.operationId,
    ...table[operation.operationId],
    takesBody: operation.requestBody !== undefined,
    needsBody: operation.requestBody?.required === true,
    // Events outlive their sandbox, so their paths know no 404.
    isOfSandbox: path.includes('{sandboxID}') && !path.startsWith('/events/'),
    declares: (status: number) => String(status) in operation.responses,
  }));

function tagsOf(operation: object): string[] {
  return (operation as { tags: string[] }).tags;
}
