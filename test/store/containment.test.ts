import { PGlite } from '@electric-sql/pglite';
import { expect } from 'chai';
import fc from 'fast-check';
import { createUser } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { compileFilter, contains } from '../../db/metadata.ts';
import { listSandboxes } from '../../db/sandboxes/lists/list.ts';
import { openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { inTransaction } from '../../db/store.ts';
import { insertSandbox } from '../helpers/insert.ts';

/** `JUDGE_PAIRS=200000 npx mocha --grep judge` compares more. */
const pairCount = Number(process.env.JUDGE_PAIRS ?? 3000);

/** A model of JSON text: objects may repeat a key, and numbers have a spelling. */
type Draft = { text: string } | { items: Draft[] } | { members: [string, Draft][] };

const spelling = fc.constantFrom(
  'null',
  'true',
  'false',
  '0',
  '-0',
  '0.0',
  '1',
  '1.0',
  '1e0',
  '10e-1',
  '1.5',
  '15e-1',
  '-1',
  '100',
  '1e2',
  '12345678901234567890',
  '12345678901234567891',
  '1.2345678901234567890e19',
  '0.1',
  '0.10000000000000000001',
  ...[
    '1e400',
    '10e399',
    '1e-400',
    '""',
    '"1"',
    '"a"',
    '"A"',
    '"é"',
    '"e\\u0301"',
    '"\\u0061"',
    '"\\ud83d\\ude00"',
    '"null"',
    '"[]"',
  ],
);
const key = fc.constantFrom('a', 'b', 'c', '', 'é', '0', '__proto__', 'a.b');
const { draft, object } = fc.letrec<{ draft: Draft; object: Draft }>((tie) => ({
  draft: fc.oneof(
    { depthSize: 'small' },
    { weight: 5, arbitrary: spelling.map((text) => ({ text })) },
    { weight: 3, arbitrary: fc.array(tie('draft'), { maxLength: 4 }).map((items) => ({ items })) },
    { weight: 3, arbitrary: tie('object') },
  ),
  object: fc.array(fc.tuple(key, tie('draft')), { maxLength: 4 }).map((members) => ({ members })),
}));

function print(value: Draft): string {
  if ('text' in value) return value.text;
  if ('items' in value) return `[${value.items.map(print).join(',')}]`;
  return `{${value.members.map(([name, member]) => `${JSON.stringify(name)}:${print(member)}`).join(',')}}`;
}

/** A reordered part of the document, sometimes with one change; about half of these match. */
function related(document: Draft): fc.Arbitrary<Draft> {
  const same = part(document);
  return fc.oneof({ weight: 8, arbitrary: same }, { weight: 1, arbitrary: draft });
}

function part(value: Draft): fc.Arbitrary<Draft> {
  if ('text' in value) return fc.constant(value);
  if ('items' in value) {
    return fc
      .shuffledSubarray([...value.items, ...value.items])
      .chain((items) => fc.tuple(...items.map(related)))
      .map((items) => ({ items }));
  }
  return fc
    .shuffledSubarray(value.members)
    .chain((members) => fc.tuple(...members.map(([name, member]) => fc.tuple(fc.constant(name), related(member)))))
    .map((members) => ({ members }));
}

const pair = object.chain((document) => fc.tuple(fc.constant(document), fc.oneof(part(document), object)));

describe('PostgreSQL as the judge of @>', () => {
  let postgres: PGlite;
  let store: SqliteStore;
  let owners = 0;
  before(async () => {
    postgres = await PGlite.create();
    store = openStore(':memory:');
  });
  after(async () => {
    await postgres.close();
    await store.close();
  });

  const verdictOf = async (document: string, filter: string) => {
    const { rows } = await postgres.query<{ verdict: boolean }>('select $1::jsonb @> $2::jsonb as verdict', [
      document,
      filter,
    ]);
    return rows[0]?.verdict;
  };

  const listed = async (document: JsonObject, filter: JsonObject) => {
    const ownerId = await inTransaction(store.db, async (trx) => {
      const { id } = await createUser(trx, 0, cli, `owner-${owners++}`, null);
      const rest = { templateId: null, env: null, memoryMb: 128, vcpuCount: 1, endAt: null, status: 'active' } as const;
      await insertSandbox(trx, { id: `s${id}`, ownerId: id, metadata: document, startedAt: 0, ...rest });
      return id;
    });
    return (await listSandboxes(store.db, 0, ownerId, { filter: compileFilter(filter), limit: 1 })).length === 1;
  };

  const agree = async (document: string, filter: string) => {
    const [d, f] = [parseJson(document) as JsonObject, parseJson(filter) as JsonObject];
    const expected = await verdictOf(document, filter);
    const where = `${document} @> ${filter}`;
    expect(contains(d, f), `contains: ${where}`).to.equal(expected);
    expect(await listed(d, f), `the list: ${where}`).to.equal(expected);
    return expected;
  };

  const cases: [string, string, boolean][] = [
    ['{"a":1}', '{}', true],
    ['{}', '{"a":1}', false],
    ['{"a":{"b":1,"c":2}}', '{"a":{"c":2}}', true],
    ['{"a":{"b":1}}', '{"b":1}', false],
    ['{"a":{"b":1}}', '{"a":{}}', true],
    ['{"a":1}', '{"a":{}}', false],
    ['{"a":[]}', '{"a":{}}', false],
    ['{"a":[1]}', '{"a":[]}', true],
    ['{"a":{}}', '{"a":[]}', false],
    ['{"a":[1,2,3]}', '{"a":[3,1,1]}', true],
    ['{"a":[1,2]}', '{"a":[1,2,3]}', false],
    ['{"a":[1]}', '{"a":1}', false],
    ['{"a":1}', '{"a":[1]}', false],
    ['{"a":[{"b":1,"c":2}]}', '{"a":[{"b":1},{"c":2}]}', true],
    ['{"a":[{"b":1},{"c":2}]}', '{"a":[{"b":1,"c":2}]}', false],
    ['{"a":[[1,2],[3]]}', '{"a":[[2]]}', true],
    ['{"a":[[1],[2]]}', '{"a":[[1,2]]}', false],
    ['{"a":[[1]]}', '{"a":[1]}', false],
    ['{"a":1}', '{"a":1.0}', true],
    ['{"a":1}', '{"a":"1"}', false],
    ['{"a":null}', '{"a":null}', true],
    ['{}', '{"a":null}', false],
    ['{"a":true}', '{"a":1}', false],
    ['{"a":1,"a":2}', '{"a":1}', false],
    ['{"a":1,"a":2}', '{"a":2}', true],
    ['{"a":"é"}', '{"a":"e\u0301"}', false],
    ['{"a":12345678901234567890}', '{"a":12345678901234567891}', false],
    ['{"a":1e400}', '{"a":10e399}', true],
    ['{"a":-0}', '{"a":0}', true],
    ['{"__proto__":{"a":1}}', '{"__proto__":{}}', true],
    ['{"a":1}', '{"constructor":{}}', false],
  ];
  for (const [document, filter, expected] of cases) {
    it(`${document} ${expected ? 'contains' : "doesn't contain"} ${filter}`, async () => {
      expect(await agree(document, filter)).to.equal(expected);
    });
  }

  it(`agrees with our containment on ${pairCount} random documents and filters`, async () => {
    let matches = 0;
    await fc.assert(
      fc.asyncProperty(pair, async ([document, filter]) => {
        if (await agree(print(document), print(filter))) matches++;
      }),
      { numRuns: pairCount },
    );
    expect(matches / pairCount).to.be.within(0.25, 0.75);
  }).timeout(60_000 + pairCount * 20);

  it('agrees with our parser on which documents jsonb accepts', async () => {
    const takes = async (text: string) => {
      const verdict = await postgres.query('select $1::jsonb', [text]).then(
        () => true,
        () => false,
      );
      let ours = true;
      try {
        parseJson(text);
      } catch {
        ours = false;
      }
      expect(ours, text).to.equal(verdict);
      return verdict;
    };
    for (const text of [
      '"\\u0000"',
      '{"\\u0000":1}',
      '"\\ud800"',
      '"\\udc00\\ud800"',
      '1e131072',
      '{"a":"\\u0000","a":1}',
      '01',
      "{'a':1}",
      '[1,]',
      '',
    ]) {
      expect(await takes(text), text).to.equal(false);
    }
    for (const text of [
      '"\\ud83d\\ude00"',
      '1e131071',
      '0.1e131072',
      '0e131072',
      '-0',
      '1E+5',
      '[]',
      ' {} ',
      '"\\\\u0000"',
    ]) {
      expect(await takes(text), text).to.equal(true);
    }
  });
});
