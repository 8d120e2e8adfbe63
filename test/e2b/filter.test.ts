import { expect } from 'chai';
import { metadataQuery, useE2b } from '../helpers/clients/e2b-client.ts';
import { clientOf, startTime } from '../helpers/server.ts';

describe("filtering E2B's sandboxes", () => {
  const { app, alice, e2b } = useE2b();

  it('200: matches all pairs of metadata encoded as E2B does, case-sensitively', async () => {
    const odd = { 'a b': 'c&d=é', 'k+%25': '+ %', '': '', '😀': '\u2028\n"\\' };
    const proto = JSON.parse('{"__proto__":"p","constructor":"c","toString":"t"}') as Record<string, string>;
    const [one, two] = [await e2b.create({ metadata: { ...odd, x: '1' } }), await e2b.create({ metadata: proto })];
    for (const [key, value] of Object.entries(odd)) {
      expect(await e2b.listed(metadataQuery({ [key]: value })), key).to.deep.equal([one]);
      expect(await e2b.running(metadataQuery({ [key]: value })), key).to.deep.equal([one]);
    }
    expect(await e2b.listed(metadataQuery(proto))).to.deep.equal([two]);
    expect(await e2b.listed(metadataQuery({ ...odd, x: '1' }))).to.deep.equal([one]);
    for (const pairs of [{ ...odd, x: '2' }, { X: '1' }, { x: '' }, { 'a b': 'C&d=é' }, { x: '1', constructor: 'c' }]) {
      expect(await e2b.listed(metadataQuery(pairs as Record<string, string>))).to.deep.equal([]);
    }
  });

  it('200: accepts metadata with less encoding and a repeated key, and matches nothing for impossible values', async () => {
    const ids: string[] = [];
    for (const a of ['1', '2', 'b c', '']) ids.push(await e2b.create({ metadata: { a } }));
    const [one, two, space, nothing] = ids;
    for (const [text, expected] of [
      ['a=1', [one]],
      ['a%3D1', [one]],
      ['%61=%31', [one]],
      ['%2561%3D%2531', [one]],
      ['%252561%3D%252531', [one]],
      ['a%3Db+c', [space]],
      ['a%3Db%2Bc', [space]],
      ['a%3Db%2520c', [space]],
      ['a%3Db%252Bc', [space]],
      ['a%3Db%25252Bc', []],
      ['a%3D', [nothing]],
      ['a%3D1%26a%3D2', [two]],
      ['a%3D1%2500', []],
      ['%3D1', []],
    ] as const) {
      expect(await e2b.listed(`metadata=${text}`), text).to.deep.equal(expected);
      expect(await e2b.running(`metadata=${text}`), text).to.deep.equal(expected);
    }
  });

  it('200: never matches InstaVM metadata that is not a string', async () => {
    const native = clientOf(app, alice);
    await native.create({ metadata: { a: 1, b: null, c: ['x'], d: { e: 'x' }, f: true } });
    for (const pairs of [{ a: '1' }, { b: 'null' }, { c: 'x' }, { c: '["x"]' }, { d: '{"e":"x"}' }, { f: 'true' }]) {
      expect(await e2b.listed(metadataQuery(pairs as Record<string, string>))).to.deep.equal([]);
    }
    expect(await native.matching({ a: 1 })).to.equal(1);
  });

  it('400: metadata that is not pairs', async () => {
    const wrong = ['', '&', 'a', 'a=1&', '&a=1', 'a=1=2', 'a=1&b', 'a=%', 'a=%zz', 'a=%25', 'a=%ED%A0%80', 'a=%FF'];
    for (const text of wrong) {
      const query = `metadata=${encodeURIComponent(text)}`;
      for (const path of ['/v2/sandboxes', '/sandboxes']) await e2b.refused(query, /^Error parsing metadata/, path);
    }
  });

  it('200: sandboxes started at or after a time, to the microsecond', async () => {
    const id = await app.insert(alice, { startedAt: startTime + 123 });
    const time = '2025-01-18T10:30:00';
    for (const [text, isThere] of [
      [`${time}Z`, true],
      [`${time}.1Z`, true],
      [`${time}.123Z`, true],
      [`${time}.1230000Z`, true],
      [`${time}.123000999Z`, true],
      [`${time}.122999Z`, true],
      [`${time}.123001Z`, false],
      [`${time}.1231Z`, false],
      [`${time}.124Z`, false],
      ['2025-01-18T12:30:00.123+02:00', true],
      ['2025-01-18T12:30:00.124+02:00', false],
      ['2025-01-18T05:00:00-05:30', true],
      ['1970-01-01T00:00:00.000Z', true],
      ['0001-01-01T00:00:00Z', true],
      ['9999-12-31T23:59:59.999999Z', false],
    ] as const) {
      const found = await e2b.listed(`startedAfter=${encodeURIComponent(text)}`);
      expect(found, text).to.deep.equal(isThere ? [id] : []);
    }
    for (const text of ['', 'yesterday', '2025-01-18', time, `${time}+02:00`, '2016-12-31T23:59:60Z']) {
      await e2b.refused(`startedAfter=${text}`, /startedAfter|Invalid time/);
    }
  });

  it('400: a day that does not exist', async () => {
    for (const day of ['2025-02-29', '2025-04-31'])
      await e2b.refused(`startedAfter=${day}T00:00:00Z`, /startedAfter|Invalid time/);
  });

  it('200: sandboxes of a template, with or without its namespace, whatever the tag', async () => {
    const ids: string[] = [];
    for (const templateID of ['base', 'base:v1', 'bases', 'b_se', 'bob/base'])
      ids.push(await e2b.create({ templateID }));
    const [base, tagged, , , foreign] = ids;
    const native = await app.insert(alice);
    for (const name of ['base', 'BASE', `${alice.name}/base`]) {
      expect(await e2b.listed(`template=${name}`)).to.have.members([base, tagged]);
    }
    expect(await e2b.listed('template=bob/base')).to.deep.equal([foreign]);
    expect(await e2b.listed('template=b_se')).to.deep.equal([ids[3]]);
    expect(await e2b.listed('template=default')).to.deep.equal([native]);
    const { body, headers } = await e2b.list('template=nope');
    expect([body, headers['x-total-running']]).to.deep.equal([[], '0']);
    for (const text of ['base:v1', '', 'a%20b', 'a/b/c', 'a%25'])
      await e2b.refused(`template=${text}`, /^validation error: query.template: String should match pattern/);
  });
});
