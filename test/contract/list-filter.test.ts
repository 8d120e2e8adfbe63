import { expect } from 'chai';
import fc from 'fast-check';
import type { Json, JsonObject } from '../../db/json/json.ts';
import { apiKey, startApp, startTime } from '../helpers/server.ts';

/** PostgreSQL's `@>` for JSON values that JavaScript holds exactly. */
function specification(document: Json, filter: Json): boolean {
  if (Array.isArray(filter)) {
    return Array.isArray(document) && filter.every((f) => document.some((d) => specification(d, f)));
  }
  if (filter !== null && typeof filter === 'object') {
    if (document === null || typeof document !== 'object' || Array.isArray(document)) return false;
    const members = new Map(Object.entries(document));
    return Object.entries(filter).every(([k, f]) => members.has(k) && specification(members.get(k) as Json, f));
  }
  return document === filter;
}

const key = fc.constantFrom('a', 'b', 'é', '', '__proto__', 'constructor', 'a.b', '["a"]');
const scalar = fc.constantFrom<Json[]>(null, true, false, 0, 1, -1, 1.5, 1e21, '1', '', 'a', 'é', 'e\u0301', 'A');
const { object } = fc.letrec<{ object: JsonObject; value: Json }>((tie) => ({
  value: fc.oneof({ weight: 4, arbitrary: scalar }, fc.array(tie('value'), { maxLength: 3 }), tie('object')),
  object: fc
    .array(fc.tuple(key, tie('value')), { maxLength: 3 })
    .map((entries) => Object.fromEntries(entries) as JsonObject),
}));

/** A filter with a fair chance to match: a document with parts removed. */
const thinned = (value: Json): fc.Arbitrary<Json> => {
  if (Array.isArray(value)) return fc.subarray(value).chain((part) => fc.tuple(...part.map(thinned)));
  if (value === null || typeof value !== 'object') return fc.constant(value);
  return fc
    .subarray(Object.entries(value))
    .chain((part) => fc.tuple(...part.map(([k, v]) => fc.tuple(fc.constant(k), thinned(v)))))
    .map((entries) => Object.fromEntries(entries) as JsonObject);
};

const scenario = fc
  .array(object, { minLength: 1, maxLength: 12 })
  .chain((documents) =>
    fc.tuple(
      fc.constant(documents),
      fc.array(fc.oneof(object, fc.constantFrom(...documents).chain(thinned)), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 12 }),
    ),
  );

describe('the metadata filter', () => {
  it('matches the specification of containment, for any sandboxes and filters', async () => {
    const app = await startApp();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ([documents, filters, limit]) => {
        const owner = await app.addUser(`owner-${round++}`);
        const rows = [];
        for (const [index, metadata] of documents.entries()) {
          const startedAt = startTime + (index % 3);
          rows.push({ id: await app.insert(owner, { metadata, startedAt }), metadata, startedAt });
        }
        rows.sort((x, y) => y.startedAt - x.startedAt || (x.id < y.id ? -1 : 1));
        for (const filter of filters) {
          const expected = rows.filter(({ metadata }) => specification(metadata, filter)).slice(0, limit);
          const { body } = await app.http
            .get('/v1/sessions/sandboxes')
            .query({ metadata: JSON.stringify(filter), limit })
            .set(apiKey(owner));
          expect(body.map((s: { sandbox_id: string }) => s.sandbox_id)).to.deep.equal(expected.map(({ id }) => id));
        }
      }),
      { numRuns: 60 },
    );
  });
});
