import { Failure, Skip } from '../failure.ts';
import { askable } from '../generators/filters.ts';
import { type Exchange, secondCredential } from '../http/exchange.ts';
import { type Item, itemsOf } from '../http/items.ts';
import { until } from '../http/poll.ts';
import type { Rule } from '../rule.ts';
import type { OwnSandbox } from '../sandboxes/sandbox.ts';
import type { Suite } from '../suite.ts';
import { knownOf, listAny, listKnown, needKnown, shownAll } from './expect.ts';

export const order: Rule[] = [
  {
    id: 'order-newest-first',
    title: 'the newest sandbox comes first',
    source: { reading: 'newest first by `started_at`: with a limit, what was started last is what is wanted' },
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
    title: 'the same request gives the same list again',
    source: { reading: 'listing changes nothing, and sandboxes of the same time keep their order' },
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
    title: 'another account does not see the sandboxes of this one, nor the reverse',
    source: { reading: "one lists one's own sandboxes" },
    run: async (suite) => {
      const { client, limits, known } = suite;
      const others = itemsOf(await client.list({ limit: String(limits.maximum) }, second(suite)));
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
    title: 'nor by asking for their metadata',
    source: { reading: "one lists one's own sandboxes" },
    run: async (suite) => {
      const credentials = second(suite);
      needKnown(suite, 1);
      const known = new Map(suite.known.map((sandbox) => [sandbox.id, sandbox]));
      for (const { metadata } of suite.known.slice(0, 3)) {
        const exchange = await suite.client.list({ metadata: JSON.stringify(askable(metadata)) }, credentials);
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
    title: 'a sandbox that was ended is still listed, as killed',
    source: { page: "- status: VM status ('active', 'killed', etc.)" },
    run: async (suite) => {
      const { n } = await ended(suite);
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
          'the sandbox that was ended, with `status` "killed"',
          listed ? JSON.stringify(listed) : 'not listed',
        );
    },
  },
  {
    id: 'killed-without-end',
    title: 'a sandbox that was ended has no end_at',
    source: { page: '- end_at: ISO timestamp when VM will expire (if active)' },
    run: async (suite) => {
      if (suite.maker) await ended(suite);
      const hasEnd = ({ end_at }: Item) => (end_at ?? null) !== null;
      const [items, exchange] = await settled(
        suite,
        () => listAny(suite),
        (items) => killedOf(items).length > 0 && !killedOf(items).some(hasEnd),
      );
      if (killedOf(items).length === 0) throw new Skip('no killed sandbox is listed');
      const wrong = killedOf(items).find(hasEnd);
      if (wrong) throw new Failure(exchange, '`end_at` null, or absent, of what is killed', JSON.stringify(wrong));
    },
  },
];

/** Returns a list that is right, or the last one once what was ended has had its time to show. */
function settled(
  { maker, options: { settleSeconds, stop } }: Suite,
  list: () => Promise<[Item[], Exchange]>,
  isRight: (items: Item[]) => boolean,
): Promise<[Item[], Exchange]> {
  return until(list, ([items]) => isRight(items), maker ? settleSeconds : 0, stop);
}

function killedOf(items: Item[]): Item[] {
  return items.filter(({ status }) => status === 'killed');
}

function second({ options: { secondApiKey } }: Suite): Exchange['sent']['credentials'] {
  if (secondApiKey === undefined) throw new Skip('no --second-api-key of another account is given');
  return [secondCredential(secondApiKey)];
}

/** Ends one, once. */
async function ended({ maker }: Suite): Promise<OwnSandbox> {
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
