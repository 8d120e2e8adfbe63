import { asking, everything, itemsIn, json, limitOf, listing, type Mutant } from './mutant.ts';

/** Changes the text of the limit before the correct server sees it; null removes it. */
const limit = (change: (text: string) => string | null): Mutant['answer'] =>
  asking((query) => {
    const text = query.get('limit');
    const changed = text === null ? null : change(text);
    if (text !== null && changed === null) query.delete('limit');
    if (changed !== null) query.set('limit', changed);
  });

const refusedLimit = (wanted: string): Mutant['answer'] =>
  asking((query) => {
    if (query.get('limit') === wanted) query.set('limit', '0');
  });

const within = (text: string) => Number(text) >= 1 && Number(text) <= 1000;

export const limitMutants: Mutant[] = [
  {
    name: 'one more',
    wrong: 'limit=n returns n + 1',
    rule: 'limit-exact',
    answer: limit((text) => (within(text) && text !== '1000' ? String(Number(text) + 1) : text)),
  },
  {
    name: 'one less',
    wrong: 'limit=n returns n - 1',
    rule: 'limit-exact',
    answer: listing((items, call) => items.slice(0, limitOf(call) - 1)),
  },
  {
    name: 'limit ignored',
    wrong: 'every limit is the default',
    rule: 'limit-exact',
    answer: limit((text) => (within(text) ? null : text)),
  },
  {
    name: 'limit rounded up',
    wrong: 'the limit is rounded up to tens',
    rule: 'limit-exact',
    answer: limit((text) => (within(text) ? String(Math.ceil(Number(text) / 10) * 10) : text)),
  },
  {
    name: 'oldest n',
    wrong: 'limit=n returns the oldest n',
    rule: 'limit-exact',
    answer: async (call) => {
      const query = new URLSearchParams(call.query);
      const right = await call.ask();
      if (right.status !== 200) return right;
      query.set('limit', '1000');
      return json(200, itemsIn(await call.ask(query)).slice(-limitOf(call)));
    },
  },
  {
    name: 'limit before filter',
    wrong: 'the filter sees only the newest n',
    rule: 'limit-after-filter',
    answer: listing(async (items, call) => {
      const newest = new Set((await everything(call)).slice(0, limitOf(call)).map(({ sandbox_id }) => sandbox_id));
      return items.filter(({ sandbox_id }) => newest.has(sandbox_id));
    }),
  },
  {
    name: 'default 50',
    wrong: 'without a limit, 50 are listed',
    rule: 'limit-default',
    sandboxes: 101,
    answer: asking((query) => query.has('limit') || query.set('limit', '50')),
  },
  {
    name: 'no default',
    wrong: 'without a limit, all are listed',
    rule: 'limit-default',
    sandboxes: 101,
    answer: asking((query) => query.has('limit') || query.set('limit', '1000')),
  },
  {
    name: 'at most 100',
    wrong: 'a limit above 100 counts as 100',
    rule: 'limit-above-default',
    sandboxes: 101,
    answer: limit((text) => (within(text) ? String(Math.min(100, Number(text))) : text)),
  },
  {
    name: 'too low accepted',
    wrong: 'limit=0 counts as 1',
    rule: 'limit-below',
    answer: limit((text) => (Number(text) < 1 && text !== '' ? '1' : text)),
  },
  {
    name: 'negative accepted',
    wrong: 'limit=-1 means no limit',
    rule: 'limit-below',
    answer: limit((text) => (text === '-1' ? null : text)),
  },
  {
    name: 'too high accepted',
    wrong: 'limit=1001 counts as 1000',
    rule: 'limit-above',
    answer: limit((text) => (Number(text) > 1000 ? '1000' : text)),
  },
  {
    name: 'huge overflows',
    wrong: 'limit=2147483648 counts as a small number',
    rule: 'limit-above',
    answer: limit((text) => (Number(text) > 2 ** 31 - 1 ? '5' : text)),
  },
  {
    name: 'words accepted',
    wrong: 'limit=abc counts as the default',
    rule: 'limit-no-integer',
    answer: limit((text) => (Number.isNaN(Number(text)) ? null : text)),
  },
  {
    name: 'fractions accepted',
    wrong: 'limit=1.5 counts as 1',
    rule: 'limit-no-integer',
    answer: limit((text) => (/^\d+\.\d+$/.test(text) ? String(Math.floor(Number(text))) : text)),
  },
  {
    name: 'digits first',
    wrong: 'limit=1,2 counts as 1',
    rule: 'limit-no-integer',
    answer: limit((text) => /^\d+(?=,)/.exec(text)?.[0] ?? text),
  },
  {
    name: 'empty accepted',
    wrong: 'limit= counts as the default',
    rule: 'limit-empty',
    answer: limit((text) => (text === '' ? null : text)),
  },
  { name: '1000 refused', wrong: 'the highest limit is 999', rule: 'limit-bounds', answer: refusedLimit('1000') },
  { name: '1 refused', wrong: 'the lowest limit is 2', rule: 'limit-bounds', answer: refusedLimit('1') },
  {
    name: 'above 512 refused',
    wrong: 'limits above 512 are refused, except 1000',
    rule: 'generated-valid',
    answer: limit((text) => (Number(text) > 512 && text !== '1000' ? '0' : text)),
  },
];
