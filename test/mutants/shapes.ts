import { asking, eachItem, everything, type Item, itemsIn, json, listing, type Mutant, refusing } from './mutant.ts';

const without = (name: string) => eachItem(({ [name]: _, ...rest }) => rest);
const emptyAs =
  (status: number, body = ''): Mutant['answer'] =>
  async ({ ask }) => {
    const answer = await ask();
    return answer.body === '[]' ? { ...answer, status, body } : answer;
  };

const isOver = ({ end_at, status }: Item) => status === 'killed' && (end_at ?? null) === null;

export const shapeMutants: Mutant[] = [
  {
    name: 'object for array',
    wrong: 'the list is in {"sandboxes": [...]}',
    rule: 'list-array',
    answer: listing((sandboxes) => ({ sandboxes })),
  },
  { name: '204 for nothing', wrong: 'an empty list is 204', rule: 'list-empty', answer: emptyAs(204) },
  {
    name: '404 for nothing',
    wrong: 'an empty list is 404',
    rule: 'list-empty',
    answer: emptyAs(404, '{"detail":"Not Found"}'),
  },
  { name: 'null for nothing', wrong: 'an empty list is null', rule: 'list-empty', answer: emptyAs(200, 'null') },
  {
    name: 'text/html',
    wrong: 'the list is sent as text/html',
    rule: 'content-type',
    answer: async ({ ask }) => ({ ...(await ask()), headers: { 'content-type': 'text/html' } }),
  },
  {
    name: 'no content type',
    wrong: 'error responses have no content type',
    rule: 'content-type',
    answer: refusing(422, (answer) => ({ ...answer, headers: {} })),
  },
  { name: 'field missing', wrong: 'there is no `status`', rule: 'response-schema', answer: without('status') },
  { name: 'id missing', wrong: 'there is no `sandbox_id`', rule: 'response-schema', answer: without('sandbox_id') },
  {
    name: 'name null',
    wrong: '`name` is null without a template',
    rule: 'response-schema',
    answer: eachItem((item) => ({ ...item, name: item.template_id })),
  },
  {
    name: 'time as number',
    wrong: '`started_at` is in milliseconds',
    rule: 'response-schema',
    answer: eachItem((item) => ({ ...item, started_at: Date.parse(String(item.started_at)) })),
  },
  {
    name: 'metadata as text',
    wrong: '`metadata` is JSON in a string',
    rule: 'response-schema',
    answer: eachItem((item) => ({ ...item, metadata: JSON.stringify(item.metadata) })),
  },
  {
    name: 'metadata null',
    wrong: '`metadata` is null if there is none',
    rule: 'response-schema',
    answer: eachItem((item) => ({ ...item, metadata: Object.keys(item.metadata).length > 0 ? item.metadata : null })),
  },
  {
    name: 'values as text',
    wrong: 'every value in the metadata is a string',
    rule: 'metadata-kept',
    answer: eachItem((item) => ({
      ...item,
      metadata: Object.fromEntries(
        Object.entries(item.metadata).map(([key, value]) => [
          key,
          key.startsWith('conform_') ? value : typeof value === 'string' ? value : JSON.stringify(value),
        ]),
      ),
    })),
  },
  {
    name: 'nulls dropped',
    wrong: 'metadata loses keys whose value is null',
    rule: 'metadata-kept',
    answer: eachItem((item) => ({
      ...item,
      metadata: Object.fromEntries(Object.entries(item.metadata).filter(([, value]) => value !== null)),
    })),
  },
  {
    name: 'listed twice',
    wrong: 'the newest sandbox is listed twice',
    rule: 'id-unique',
    answer: listing((items) => [...items.slice(0, 1), ...items]),
  },
  {
    name: 'always "default"',
    wrong: '`name` is "default" whatever the template',
    rule: 'name-template',
    answer: eachItem((item) => ({ ...item, name: 'default' })),
  },
  {
    name: 'template as text',
    wrong: '`template_id` is "default" without one, `name` is "base"',
    rule: 'name-template',
    answer: eachItem((item) => ({
      ...item,
      template_id: item.template_id ?? 'default',
      name: item.template_id ?? 'base',
    })),
  },
  {
    name: 'time in words',
    wrong: '`started_at` is "Sat, 18 Jan 2025 10:30:00 GMT"',
    rule: 'times-iso',
    answer: eachItem((item) => ({ ...item, started_at: new Date(String(item.started_at)).toUTCString() })),
  },
  {
    name: 'end too early',
    wrong: 'the time from start to `end_at` is divided by 1000',
    rule: 'end-after-start',
    answer: eachItem((item) => ({
      ...item,
      end_at: item.end_at && new Date(Date.parse(String(item.started_at)) - 1).toISOString(),
    })),
  },
  {
    name: 'end unknown',
    wrong: '`end_at` is null for an active sandbox',
    rule: 'active-made',
    answer: eachItem((item) => ({ ...item, end_at: null })),
  },
  {
    name: 'status unknown',
    wrong: 'an active sandbox is "running"',
    rule: 'active-made',
    answer: eachItem((item) => ({ ...item, status: item.status === 'active' ? 'running' : item.status })),
  },
  {
    name: 'ended shown active',
    wrong: 'a sandbox past its end is active until the sweeper runs',
    rule: 'ended-not-active',
    answer: eachItem((item) =>
      isOver(item)
        ? { ...item, status: 'active', end_at: new Date(Date.parse(String(item.started_at)) + 1).toISOString() }
        : item,
    ),
  },
  {
    name: 'killed hidden',
    wrong: 'a killed sandbox is not listed',
    rule: 'killed-listed',
    answer: listing((items) => items.filter(({ status }) => status !== 'killed')),
  },
  {
    name: 'killed as "stopped"',
    wrong: 'a killed sandbox is "stopped"',
    rule: 'killed-listed',
    answer: eachItem((item) => ({ ...item, status: item.status === 'killed' ? 'stopped' : item.status })),
  },
  {
    name: 'killed with an end',
    wrong: 'a killed sandbox has an `end_at`',
    rule: 'killed-without-end',
    answer: eachItem((item) => ({ ...item, end_at: item.end_at ?? item.started_at })),
  },
  {
    name: 'oldest first',
    wrong: 'the oldest sandbox comes first',
    rule: 'order-newest-first',
    answer: listing((items) => items.toReversed()),
  },
  {
    name: 'by id',
    wrong: 'ordered by `sandbox_id`',
    rule: 'order-newest-first',
    answer: listing((items) => items.toSorted((a, b) => (String(a.sandbox_id) < String(b.sandbox_id) ? -1 : 1))),
  },
  {
    name: 'active first',
    wrong: 'active sandboxes come before others',
    rule: 'order-newest-first',
    answer: listing((items) =>
      items.toSorted((a, b) => String(a.status === 'killed').localeCompare(String(b.status === 'killed'))).toReversed(),
    ),
  },
  {
    name: 'order unstable',
    wrong: 'every list starts at another sandbox',
    rule: 'order-repeatable',
    answer: unstable(),
  },
  {
    name: 'unknown refused',
    wrong: 'an unknown query parameter is 422',
    rule: 'unknown-parameters',
    answer: asking(
      (query) => [...query.keys()].some((name) => name !== 'limit' && name !== 'metadata') && query.set('limit', '0'),
    ),
  },
  {
    name: 'others shown',
    wrong: 'the sandboxes of all accounts are listed',
    rule: 'isolation-list',
    answer: listing(async (items, { ask, keys, query, headers }) => {
      const other = headers['x-api-key'] === keys.other ? keys.own : keys.other;
      return [...items, ...itemsIn(await ask(query, { 'x-api-key': other }))];
    }),
  },
  {
    name: 'others found',
    wrong: 'a filter finds the sandboxes of all accounts',
    rule: 'isolation-filter',
    answer: async (call) =>
      call.query.has('metadata') ? call.ask(call.query, { 'x-api-key': call.keys.own }) : call.ask(),
  },
  {
    name: 'one is missing',
    wrong: 'the oldest sandbox is never listed',
    rule: 'metadata-kept',
    answer: listing(async (items, call) => {
      const all = await everything(call);
      const oldest = all.filter(({ metadata }) => 'conform_n' in metadata).at(-1)?.sandbox_id;
      return items.filter(({ sandbox_id }) => sandbox_id !== oldest);
    }),
  },
  {
    name: 'quotes crash',
    wrong: 'an apostrophe in a parameter is 500',
    rule: 'generated-any',
    answer: async ({ query, ask }) =>
      [...query.values()].some((value) => value.includes("'")) ? json(500, { detail: 'Internal Server Error' }) : ask(),
  },
];

function unstable(): Mutant['answer'] {
  let turn = 0;
  return listing((items) => {
    const at = turn++ % Math.max(1, items.length);
    return [...items.slice(at), ...items.slice(0, at)];
  });
}
