import { bodyOf, calls, encoded, filled, queryOf, sampleOf, uuid } from './helpers/samples.ts';
import { idsOf, type Target, useTarget } from './helpers/target.ts';
import { abuse } from './runner/record.ts';

/**
 * Operations that the contract opens to any caller who knows the id, among them those of published
 * templates, and operations that return 200 and report that nothing is there.
 */
const open = new Set([
  'get_session_usage',
  'get_custom_domain',
  'get_template',
  'run_template',
  'envd_process',
  'envd_filesystem',
]);
const equivalents: Record<string, string> = { get_session_status: '200', e2b_list_sandbox_events: '200', kill: '404' };

describe('abuse: one owner against every route of another', () => {
  const target = useTarget();
  let alice: string;
  let mallory: string;
  before(async () => {
    [alice, mallory] = [await target().addUser('alice'), await target().addUser('mallory')];
  });
  const as = (key: string) => ({ 'X-API-Key': key });
  const nobodys: Record<string, string> = {
    vm_id: `i${'0'.repeat(20)}`,
    sandboxID: `i${'0'.repeat(20)}`,
    session_id: uuid,
    item_id: '999999',
    snapshot_id: 'snap-nobodys',
    templateID: 'snap-nobodys',
    alias: 'snap-nobodys',
    event_id: 'evt_999999',
    endpoint_id: 'whe_nobodys',
    webhookID: 'whe_nobodys',
    key_id: '999999',
    delivery_id: 'msg_nobodys',
  };

  for (const { method, path, operation } of calls) {
    const { operationId } = operation;
    const isKill = operationId === 'kill';
    if (open.has(operationId) || !(path.includes('{') || isKill)) continue;
    // They need machines: test/builds/, test/instavm/ and test/code/ have them.
    if (operation.tags.some((tag) => ['e2b-builds', 'machine', 'e2b-code'].includes(tag))) continue;
    const expected = equivalents[operationId] ?? '404';
    abuse("somebody else's id", `${method} ${path}`, `${expected}, and nothing changed`, async () => {
      const ids = await idsOf(target(), alice);
      const body = bodyOf(operation);
      const call = (key: string, of: Record<string, string>) => {
        const given = isKill ? { session_id: of.session_id } : body && sampleOf(body.schema);
        const asked = body ? { headers: as(key), body: encoded(body.type, given) } : { headers: as(key) };
        return target().ask(method, filled(path, (name) => of[name] ?? 'x') + queryOf(operation), asked);
      };
      const ending = endingSoon(target());
      const before = contents(target(), ending);
      const [foreign, missing] = [await call(mallory, ids), await call(mallory, nobodys)];
      if (contents(target(), ending) !== before) return 'something changed';
      const masked = (text: string, of: Record<string, string>) =>
        Object.values(of)
          // A short one, a key's, can be part of another id or of the status.
          .filter((id) => id.length > 4)
          .reduce((masked, id) => masked.replaceAll(id, 'ID'), text);
      if (foreign.status !== missing.status || masked(foreign.text, ids) !== masked(missing.text, nobodys)) {
        return `told apart from nobody's: ${foreign.status} ${foreign.text} and ${missing.status} ${missing.text}`;
      }
      // Otherwise the request itself could be invalid.
      const own = await call(alice, ids);
      if (own.text === foreign.text || (own.status === 404 && expected === '404')) return `as for alice: ${own.text}`;
      return `${foreign.status}, and nothing changed`;
    });
  }

  abuse("somebody else's", 'every list and filter', 'none of it', async () => {
    await idsOf(target(), alice);
    const lists = calls.filter(({ method, path }) => method === 'GET' && !path.includes('{'));
    const queries = ['', '?metadata={"of":"alice"}', '?metadata=of%3Dalice', '?limit=100'];
    const seen = [];
    for (const { path } of lists) {
      for (const query of queries) {
        const { text } = await target().ask('GET', path + query, { headers: as(mallory) });
        if (/"of": ?"alice"/.test(text)) seen.push(path + query);
      }
    }
    return seen.join(', ') || 'none of it';
  });
});

/** Members that change by themselves: a key's last use, and the health of a webhook endpoint. */
const unasked = { last_used_at: null, failing_since: null };

/** Returns the ids of the active sandboxes that end or pause by themselves within a minute. */
function endingSoon({ store }: Target): Set<string> {
  const due = store.sqlite.prepare("select id from sandboxes where status = 'active' and end_at < ?").pluck();
  return new Set(due.all(Date.now() + 60_000) as string[]);
}

/** Returns the rows that belong to owners, without those of some sandboxes. */
function contents({ store }: Target, without: Set<string>): string {
  const tables = ['users', 'api_keys', 'ssh_keys', 'sandboxes', 'snapshots', 'snapshot_tags', 'webhook_endpoints'];
  return JSON.stringify(
    tables.map((table) => {
      const rows = store.sqlite.prepare(`select * from ${table}`).all() as { id?: string }[];
      return rows.filter(({ id }) => !without.has(id ?? '')).map((row) => ({ ...row, ...unasked }));
    }),
  );
}
