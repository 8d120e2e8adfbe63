import { withBystander } from './helpers/bystander.ts';
import { commonPairs, largeMetadata, seedHeavy } from './helpers/heavy.ts';
import { owned } from './helpers/scale.ts';
import { useTarget } from './helpers/target.ts';
import { abuse, counted } from './runner/record.ts';

/**
 * The heaviest requests of an owner with the most data allowed. No other caller may notice them.
 */
describe(`abuse: heavy requests of an owner of ${owned.sandboxes} sandboxes`, () => {
  const target = useTarget();
  let key: string;
  let bob: string;
  let large: string;
  before(async () => {
    [key, bob] = [await target().addUser('alice'), await target().addUser('bob')];
    const { store } = target();
    const id = store.sqlite.prepare<[string], number>('select id from users where name = ?').pluck().get('alice');
    await seedHeavy(store, id as number, owned);
    large = JSON.parse((await sent('POST', '/v1/vms', { metadata: largeMetadata('a') })).text).vm_id;
  });

  /**
   * Reads the whole response. Arrays are not checked against the contract, because that would
   * dominate the measured time.
   */
  const sent = async (method: string, path: string, body?: object) => {
    const type = body && { 'Content-Type': 'application/json' };
    const init = { method, headers: { 'X-API-Key': key, ...type }, ...(body && { body: JSON.stringify(body) }) };
    const answer = await fetch(target().serving.url + path, init);
    return { status: answer.status, text: await answer.text() };
  };
  const heavy = (what: string, expected: string, send: () => Promise<string>) =>
    abuse('heavy', what, expected, () => withBystander(what, target(), bob, send));
  const one = (what: string, method: string, path: string, body?: object, status = 200) =>
    heavy(what, `${status}`, async () => `${(await sent(method, path, body)).status}`);

  const filter = (document: object) => `metadata=${encodeURIComponent(JSON.stringify(document))}`;
  const pairs = `metadata=${encodeURIComponent(new URLSearchParams(commonPairs).toString())}`;
  const list = '/v1/sessions/sandboxes';
  one('a list by nested arrays, none matching', 'GET', `${list}?limit=1&${filter({ list: [{ a: 9, b: 1 }] })}`);
  one('a list of 1000, the newest large', 'GET', `${list}?limit=1000`);
  one("InstaVM's list of 1000, the newest large", 'GET', '/v1/vms?all=true&limit=1000');
  one("E2B's list by 60 common pairs", 'GET', `/v2/sandboxes?limit=1&${pairs}`);
  one("E2B's list by a rare pair", 'GET', '/v2/sandboxes?limit=1&metadata=user%3Du7');
  one("E2B's list by 60 pairs and a template that nothing has", 'GET', `/v2/sandboxes?limit=1&template=no&${pairs}`);
  one("E2B's list of paused ones, of which there are none", 'GET', '/v2/sandboxes?limit=1&state=paused');
  one("E2B's page of 100, the newest large", 'GET', '/v2/sandboxes?limit=100');
  one('the whole list', 'GET', '/sandboxes');
  heavy(`the whole list, ${owned.atOnce} times at once`, `200 x ${owned.atOnce}`, async () => {
    const all = Array.from({ length: owned.atOnce }, () => drained(target().serving.url, key));
    return counted(await Promise.all(all));
  });
  one('ending by 60 pairs, dry run', 'POST', '/v1/sandboxes/kill', { metadata: commonPairs, dry_run: true });
  one('a sandbox with 6000 pairs', 'POST', '/v1/vms', { metadata: largeMetadata('c') }, 201);
  heavy('changing 6000 pairs to 6000 others', '200', async () => {
    const change = async (prefix: string) =>
      (await sent('PATCH', `/v1/vms/${large}`, { metadata: largeMetadata(prefix) })).status;
    return counted([...new Set([await change('p'), await change('q')])]);
  });
  heavy('a fork of 100 with 6000 pairs', '201', async () => {
    return `${(await sent('POST', `/sandboxes/${large}/fork`, { count: 100 })).status}`;
  });
  one('a list of snapshots, large ones', 'GET', '/v1/snapshots?limit=1000');
  one("E2B's templates, all", 'GET', '/templates');
  one("E2B's snapshots by one that there is not", 'GET', '/snapshots?name=nope&limit=1');
  one('the audit log by a kind that never came', 'GET', '/v1/audit/events?kind=webhook.disabled');
  one('a page of 1000 of the audit log', 'GET', '/v1/audit/events?limit=1000&order=asc');
  heavy('deliveries that failed, of which there is one, the oldest', '1', async () => {
    const { text } = await sent('GET', '/v1/webhooks/deliveries?status=failed');
    return `${JSON.parse(text).deliveries.length}`;
  });
  one('a page of 1000 deliveries', 'GET', '/v1/webhooks/deliveries?limit=1000');
  heavy('a stream of all events', 'the last', async () => {
    const last = target().store.sqlite.prepare('select max(seq) from events').pluck().get();
    return replayed(`${target().serving.url}/v1/events?last_event_id=0`, key, `id: ${last}\n`);
  });
  heavy('ending 10000', '200', async () => `${(await sent('POST', '/v1/sandboxes/kill', { all: true })).status}`);
});

/** Reads the whole list without buffering it. Returns the status. */
async function drained(url: string, key: string): Promise<number> {
  const { status, body } = await fetch(`${url}/sandboxes`, { headers: { 'X-API-Key': key } });
  for await (const _ of body ?? []);
  return status;
}

async function replayed(url: string, key: string, end: string): Promise<string> {
  const { body } = await fetch(url, { headers: { 'X-API-Key': key } });
  let text = '';
  for await (const chunk of body ?? []) {
    text = text.slice(-200) + Buffer.from(chunk).toString();
    if (text.includes(end)) return 'the last';
  }
  return 'not all';
}
