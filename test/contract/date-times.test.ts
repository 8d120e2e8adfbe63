import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { readDatetime } from '../../app/contract/pydantic/datetime.ts';
import { readTime } from '../../spec/time.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { startTestClient } from '../helpers/clients/test-client.ts';
import { importLine } from '../helpers/processes/commands.ts';
import { sandpit } from '../helpers/processes/process.ts';
import { apiKey, shareApp, temporaryDirectory } from '../helpers/server.ts';

/** Texts that are not a moment that can be stored and written back. */
const noTimes = [
  '9999-12-31T23:59:59-00:01',
  '0001-01-01T00:00:00+00:01',
  '0000-01-01T00:00:00+12:00',
  '0000-12-31T23:59:59Z',
  '2025-01-18T24:00:00Z',
  '2025-01-18T24:00:00.000+01:00',
  '2025-01-18T10:60:00Z',
  '2016-12-31T23:59:60Z',
  '2025-02-30T00:00:00Z',
  '2025-02-29T00:00:00Z',
  '1900-02-29T00:00:00Z',
  '2025-04-31T00:00:00Z',
  '2025-00-01T00:00:00Z',
  '2025-13-01T00:00:00Z',
  '2025-01-00T00:00:00Z',
  '2025-01-32T00:00:00Z',
  '2025-01-18T10:30:00+24:00',
  '2025-01-18T10:30:00+01:60',
  '2025-01-18T10:30:00+01',
  '+010000-01-01T00:00:00Z',
  '2025-01-18T10:30:00.Z',
  '2025-01-18T1:30:00Z',
  '2025-01-18T10:30:00Z ',
  '2025-01-18\n10:30:00Z',
  'now',
];

/**
 * Texts without a time zone. The contract's times refuse them; a query of the native API assumes
 * UTC.
 */
const unzoned = ['2025-01-18T10:30:00', '2025-01-18'];

const edges = [
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
  ['0000-12-31T23:59:59.999-00:01', '0001-01-01T00:00:59.999Z'],
  ['9999-12-31T23:59:59.999999999Z', '9999-12-31T23:59:59.999Z'],
  ['2024-02-29t23:59:59.1z', '2024-02-29T23:59:59.100Z'],
  ['2025-01-18T00:30:00+23:59', '2025-01-17T00:31:00.000Z'],
] as const;

/** Pydantic 2.10's errors for these texts. */
const refusedDatetimes: [string, string][] = [
  ['', 'input is too short'],
  ['1e5', 'input is too short'],
  ['.5', 'input is too short'],
  ['２０２５', 'invalid character in year'],
  [' 2025-01-18', 'invalid character in year'],
  ['2025/01/18', 'invalid date separator, expected `-`'],
  ['9223372036854775808', 'invalid date separator, expected `-`'],
  ['-9223372036854775808', 'invalid character in year'],
  ['2025-x1x18', 'invalid character in month'],
  ['2025-01-1é', 'invalid character in day'],
  ['2025-13-01x', 'month value is outside expected range of 1-12'],
  ['2025-02-29T25:00', 'day value is outside expected range'],
  ['2025-01-18T24:00', 'unexpected extra characters at the end of the input'],
  ['2025-01-18T10:30:00+24:00', 'unexpected extra characters at the end of the input'],
  ['0000-01-01x', 'unexpected extra characters at the end of the input'],
  ['253402300800000', 'dates after 9999 are not supported as unix timestamps'],
  ['-62167219200001', 'dates before 0000 are not supported as unix timestamps'],
  ['-62167219200000', 'year 0 is out of range'],
  ['0000-01-01', 'year 0 is out of range'],
  ['0001-01-01T00:00+00:01', 'year 0 is out of range'],
  ['9999-12-31T23:59-00:01', 'year 10000 is out of range'],
];

/** The times that pydantic 2.10 reads in these texts, in UTC. */
const readDatetimes: [string, string, number?][] = [
  ['2025', '1970-01-01T00:33:45.000Z'],
  ['1737196200', '2025-01-18T10:30:00.000Z'],
  ['1737196200000', '2025-01-18T10:30:00.000Z'],
  ['0000000000000000000001737196200', '2025-01-18T10:30:00.000Z'],
  ['1737196200.123456789', '2025-01-18T10:30:00.123Z', 457],
  ['5.', '1970-01-01T00:00:05.000Z'],
  ['-1.5', '1969-12-31T23:59:58.500Z'],
  ['-1.9999999', '1969-12-31T23:59:58.000Z'],
  ['20000000000', '2603-10-11T11:33:20.000Z'],
  ['20000000001', '1970-08-20T11:33:20.001Z'],
  ['-20000000001', '1969-05-14T12:26:39.999Z'],
  ['20000000000.5', '1970-08-20T11:33:20.000Z', 500],
  ['253402300799999', '9999-12-31T23:59:59.999Z'],
  ['-62135596800000', '0001-01-01T00:00:00.000Z'],
  ['2025-01-18', '2025-01-18T00:00:00.000Z'],
  ['2025-01-18_10:30', '2025-01-18T10:30:00.000Z'],
  ['2025-01-18t10:30z', '2025-01-18T10:30:00.000Z'],
  ['2025-01-18T10:30:00,1234567+0130', '2025-01-18T09:00:00.123Z', 456],
  ['2025-01-18T10:30\u221201:00', '2025-01-18T11:30:00.000Z'],
];

describe('date-times', () => {
  const iso = (milliseconds: number) => new Date(milliseconds).toISOString();
  const first = Date.parse('0001-01-01T00:00:00.000Z');
  const last = Date.parse('9999-12-31T23:59:59.999Z');
  const offset = fc.integer({ min: -(24 * 60 - 1), max: 24 * 60 - 1 });
  const two = (number: number) => String(number).padStart(2, '0');

  it('reads any moment of the years 1 to 9999, whatever the offset, letter case and fraction', () => {
    const letters = fc.tuple(fc.constantFrom('T', 't', ' '), fc.constantFrom('Z', 'z'));
    const rest = fc.stringMatching(/^\d{0,40}$/);
    const moments = fc.tuple(fc.integer({ min: first, max: last }), offset, letters, rest);
    fc.assert(
      fc.property(moments, ([milliseconds, minutes, [between, zone], digits]) => {
        const local = iso(milliseconds + minutes * 60_000);
        fc.pre(/^\d{4}-/.test(local));
        const size = Math.abs(minutes);
        const written = `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
        const text = local.replace('T', between).replace('Z', `${digits}${minutes === 0 ? zone : written}`);
        const microseconds = Number(digits.slice(0, 3).padEnd(3, '0'));
        expect(readTime(text), text).to.deep.equal({ milliseconds, microseconds });
      }),
    );
  });

  it('reads ISO 8601 and Unix times in a query as pydantic does', () => {
    for (const [text, at, microseconds = 0] of readDatetimes) {
      expect(readDatetime(text), text).to.deep.equal({ milliseconds: Date.parse(at), microseconds });
    }
  });

  it('reads a large integer as milliseconds, and a number within the range of seconds as seconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: first, max: last }), (milliseconds) => {
        fc.pre(Math.abs(milliseconds) > 20_000_000_000);
        expect(readDatetime(String(milliseconds))).to.deep.equal({ milliseconds, microseconds: 0 });
        const seconds = Math.trunc(milliseconds / 1e6);
        expect(readDatetime(String(seconds))).to.deep.equal({ milliseconds: seconds * 1000, microseconds: 0 });
      }),
    );
  });

  it('refuses days and hours that do not exist', () => {
    const daysIn = (year: number, month: number) => {
      const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
      return [0, 31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month] ?? 0;
    };
    const number = (max: number) => fc.integer({ min: 0, max });
    const fields = fc.tuple(number(9999), number(14), number(33), number(25), number(61), number(61));
    fc.assert(
      fc.property(fields, ([year, month, day, hour, minute, second]) => {
        const isTime = year > 0 && day > 0 && day <= daysIn(year, month) && hour < 24 && minute < 60 && second < 60;
        const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}Z`;
        const read = readTime(text);
        expect(read && iso(read.milliseconds), text).to.equal(isTime ? text.replace('Z', '.000Z') : null);
      }),
      { numRuns: 1000 },
    );
  });

  it('import refuses invalid times, and export returns valid ones unchanged', async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    await sandpit(['users', 'create', 'alice', '--db', db]);
    const lines = (texts: readonly string[]) =>
      texts.map((started_at, n) => importLine({ sandbox_id: `s${n}`, started_at, end_at: started_at })).join('');
    for (const text of [noTimes[0], noTimes[2], noTimes[4], unzoned[0]] as string[]) {
      const { code, stderr } = await sandpit(['import', '-', '--db', db], { input: lines([edges[0][0], text]) });
      expect([code, stderr], text).to.satisfy(
        () => code === 1 && stderr.includes('line 2: ') && /date-?time/.test(stderr),
      );
    }
    const file = join(temporaryDirectory(), 'edges.jsonl');
    writeFileSync(file, lines(edges.map(([text]) => text)));
    expect((await sandpit(['import', file, '--db', db])).code).to.equal(0);
    const exported = (await sandpit(['export', '--db', db])).stdout.trim().split('\n');
    const times = exported
      .map((line) => JSON.parse(line))
      .map(({ sandbox_id, started_at, end_at }) => [...[sandbox_id, started_at, end_at]]);
    expect(times).to.have.deep.members(edges.map(([, text], n) => [`s${n}`, text, text]));
  });

  describe('on a test server', () => {
    let client: Awaited<ReturnType<typeof startTestClient>>;
    before(async () => {
      client = await startTestClient(['--random-seed', '1']);
    });
    after(() => client.server.closeStdin());

    it('422: refuses an invalid time for the clock or in a seed', async () => {
      const record = {
        sandbox_id: 'a',
        owner: 'admin',
        metadata: {},
        started_at: '2025-01-18T10:00:00Z',
        status: 'paused',
      };
      for (const text of [...noTimes, ...unzoned]) {
        const at = (body: object | object[]) =>
          client.call('POST', Array.isArray(body) ? '/_test/seed' : '/_test/clock', body);
        expect((await at({ set: text })).status, `clock ${text}`).to.equal(422);
        expect((await at([{ ...record, started_at: text }])).status, `seed ${text}`).to.equal(422);
        expect((await at([{ ...record, end_at: text }])).status, `seed ${text}`).to.equal(422);
      }
      expect(await client.list()).to.deep.equal([]);
    });

    it('a sandbox started at the last possible moment has an end that can be stored', async () => {
      for (const [set] of [edges[2], ['9998-12-31T23:59:59.999-00:01']] as const)
        expect((await client.call('POST', '/_test/clock', { set })).status).to.equal(422);
      for (const set of [edges[0][0], '9998-12-31T23:59:59.999Z']) {
        await client.steer('clock', { set });
        await client.create({ vm_lifetime_seconds: 86_400 });
        for (const path of ['/v2/sandboxes', '/sandboxes', '/v1/vms', '/v1/audit/events'])
          expect((await client.call('GET', path)).status, path).to.equal(200);
      }
      expect((await client.call('POST', '/_test/clock', { advance_seconds: 0.001 })).status).to.equal(422);
    });
  });

  describe('in a query', () => {
    const app = shareApp();

    it("startedAfter, since and until accept the contract's times and refuse others", async () => {
      const alice = await app().addUser('alice');
      const e2b = e2bOf(app(), alice);
      const audit = (query: object) => app().http.get('/v1/audit/events').set(apiKey(alice)).query(query);
      for (const text of noTimes) {
        await e2b.refused(`startedAfter=${encodeURIComponent(text)}`, /startedAfter/);
        for (const name of ['since', 'until']) await audit({ [name]: text }).expect(422);
      }
      for (const text of unzoned) await e2b.refused(`startedAfter=${text}`, /startedAfter/);
      for (const [text] of edges) {
        await e2b.list(`startedAfter=${encodeURIComponent(text)}`);
        const isTaken = !text.startsWith('0000');
        for (const name of ['since', 'until']) await audit({ [name]: text }).expect(isTaken ? 200 : 422);
      }
    });

    it("errors about since and until use pydantic's words and are listed with all others", async () => {
      const carol = await app().addUser('carol');
      const refused = async (query: object) =>
        (await app().http.get('/v1/audit/events').set(apiKey(carol)).query(query).expect(422)).body.detail;
      for (const [text, error] of refusedDatetimes) {
        const isYear = error.startsWith('year');
        const type = isYear ? 'datetime_parsing' : 'datetime_from_date_parsing';
        const msg = `Input should be a valid datetime${isYear ? '' : ' or date'}, ${error}`;
        const problem = (name: string) => ({ type, loc: ['query', name], msg, input: text, ctx: { error } });
        const problems = await refused({ limit: 'x', since: text, until: text });
        expect(problems.map(({ loc }: { loc: string[] }) => loc[1])).to.deep.equal(['limit', 'since', 'until']);
        expect(problems.slice(1), text).to.deep.equal([problem('since'), problem('until')]);
      }
    });

    it('since includes and until excludes an event at that very millisecond', async () => {
      const dave = await app().addUser('dave');
      const audit = (query: object) => app().http.get('/v1/audit/events').set(apiKey(dave)).query(query);
      const events = async (query: object) => (await audit({ ...query, kind: 'user.created' }).expect(200)).body.events;
      const count = async (query: object) => (await events(query)).length;
      const now = Date.parse((await events({}))[0].at);
      expect(await count({ since: now })).to.equal(1);
      expect(await count({ since: now / 1000 })).to.equal(1);
      expect(await count({ since: `${now}.5` })).to.equal(0);
      expect(await count({ since: new Date(now).toISOString().replace('Z', '001Z') })).to.equal(0);
      expect(await count({ until: now })).to.equal(0);
      expect(await count({ until: now + 1 })).to.equal(1);
      expect(await count({ until: `${now}.5` })).to.equal(1);
      expect(await count({ until: new Date(now).toISOString().replace('Z', '001') })).to.equal(1);
    });
  });
});
