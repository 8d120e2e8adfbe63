import { Failure, Skip } from '../failure.ts';
import { filterFor } from '../generators/filters.ts';
import { type Exchange, secondCredential } from '../http/exchange.ts';
import { type Item, itemsOf } from '../http/items.ts';
import { poll } from '../http/poll.ts';
import type { Rule } from '../rule.ts';
import type { OwnSandbox } from '../sandboxes/sandbox.ts';
import type { Suite } from '../suite.ts';
import { knownOf, listAny, listKnown, needKnown, shownAll } from './expect.ts';

export const order: Rule[] = [
  {
    id: 'order-newest-first',
    title: 'the newest sandbox comes first',
    source: { reading: 'newest first by `started_at`, so that a limit keeps the newest sandboxes' },
    run: async (suite) => {
      needKnown(suite, 2);
      for (const [items, exchange] of [await listAny(suite), await listKnown(suite)]) {
        const times = items.map(({ started_at }) => String(started_at));
        const wrong = times.findIndex((time, index) => Date.parse(time) > Date.parse(times[index - 1] ?? time));
        if (wrong > 0)
          throw new Failure(
            exchange,
            'no `started_at` later than the one before',
            `${times[wrong]} after ${times[wrong - 1]}`,
          );
      }
    },
  },
  {
    id: 'order-repeatable',
    title: 'repeating a request gives the same list',
    source: { reading: 'listing changes nothing, and sandboxes with the same start time keep their order' },
    run: async (suite) => {
      needKnown(suite, 2);
      const known = new Set(suite.known.map(({ id }) => id));
      const ids = (items: { sandbox_id: string }[]) =>
        items.map(({ sandbox_id }) => sandbox_id).filter((id) => known.has(id));
      const [first] = await listKnown(suite);
      for (let n = 0; n < 3; n++) {
        const [again, exchange] = await listKnown(suite);
        if (ids(again).join() !== ids(first).join())
          throw new Failure(exchange, `as before: ${shownAll(first.map(knownOf))}`, shownAll(again.map(knownOf)));
      }
    },
  },
];

export const isolation: Rule[] = [
  {
    id: 'isolation-list',
    title: 'accounts do not list the sandboxes of one another',
    source: { reading: 'a list has only the sandboxes of its account' },
    run: async (suite) => {
      const { client, limits, known } = suite;
      const others = itemsOf(await client.list({ limit: String(limits.maximum) }, secondAccount(suite)));
      needKnown(suite, 1);
      const exchange = await client.list({ limit: String(limits.maximum) });
      const own = new Set([...known.map(({ id }) => id), ...itemsOf(exchange).map(({ sandbox_id }) => sandbox_id)]);
      const shared = others.filter(({ sandbox_id }) => own.has(sandbox_id)).map(knownOf);
      if (shared.length > 0)
        throw new Failure(exchange, 'no sandbox that --second-api-key lists too', shownAll(shared));
    },
  },
  {
    id: 'isolation-filter',
    title: 'a filter does not find the sandboxes of another account',
    source: { reading: 'a list has only the sandboxes of its account' },
    run: async (suite) => {
      const credentials = secondAccount(suite);
      needKnown(suite, 1);
      const known = new Map(suite.known.map((sandbox) => [sandbox.id, sandbox]));
      for (const { metadata } of suite.known.slice(0, 3)) {
        const exchange = await suite.client.list({ metadata: JSON.stringify(filterFor(metadata)) }, credentials);
        const found = itemsOf(exchange)
          .map(knownOf)
          .filter(({ id }) => known.has(id));
        if (found.length > 0) throw new Failure(exchange, 'no sandbox of another account', shownAll(found));
      }
    },
  },
];

export const killed: Rule[] = [
  {
    id: 'killed-listed',
    title: 'an ended sandbox is still listed, as killed',
    source: { page: "- status: VM status ('active', 'killed', etc.)" },
    run: async (suite) => {
      const { n } = await endOne(suite);
      const find = (items: Item[]) => items.find(({ metadata }) => metadata.conform_n === n);
      const [items, exchange] = await settled(
        suite,
        () => listKnown(suite),
        (items) => find(items)?.status === 'killed',
      );
      const listed = find(items);
      if (listed?.status !== 'killed')
        throw new Failure(
          exchange,
          'the ended sandbox, with `status` "killed"',
          listed ? JSON.stringify(listed) : 'not listed',
        );
    },
  },
  {
    id: 'killed-without-end',
    title: 'an ended sandbox has no end_at',
    source: { page: '- end_at: ISO timestamp when VM will expire (if active)' },
    run: async (suite) => {
      if (suite.maker) await endOne(suite);
      const hasEnd = ({ end_at }: Item) => (end_at ?? null) !== null;
      const [items, exchange] = await settled(
        suite,
        () => listAny(suite),
        (items) => killedOf(items).length > 0 && !killedOf(items).some(hasEnd),
      );
      if (killedOf(items).length === 0) throw new Skip('no killed sandbox is listed');
      const wrong = killedOf(items).find(hasEnd);
      if (wrong) throw new Failure(exchange, 'no `end_at`, or null, for killed sandboxes', JSON.stringify(wrong));
    },
  },
];

/** Lists until the list is accepted, or until an ended sandbox has had its time to show. */
function settled(
  { maker, options: { settleSeconds, stop } }: Suite,
  list: () => Promise<[Item[], Exchange]>,
  isAccepted: (items: Item[]) => boolean,
): Promise<[Item[], Exchange]> {
  return poll(list, ([items]) => isAccepted(items), maker ? settleSeconds : 0, stop);
}

function killedOf(items: Item[]): Item[] {
  return items.filter(({ status }) => status === 'killed');
}

function secondAccount({ options: { secondApiKey } }: Suite): Exchange['sent']['credentials'] {
  if (secondApiKey === undefined) throw new Skip('no --second-api-key of another account is given');
  return [secondCredential(secondApiKey)];
}

/** Ends one of the suite's sandboxes, once in a run. */
async function endOne({ maker }: Suite): Promise<OwnSandbox> {
  if (!maker) throw new Skip('needs a sandbox to end: leave --existing out');
  const done = maker.made.find(({ hasEnded }) => hasEnded);
  if (done) return done;
  const sandbox = maker.made[0];
  if (!sandbox) throw new Skip('the server made no sandbox');
  await maker.end(sandbox).catch((error) => {
    throw new Skip(`the sandbox could not be ended: ${error.message}`);
  });
  return sandbox;
}
