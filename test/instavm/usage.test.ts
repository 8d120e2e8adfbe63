import { expect } from 'chai';
import fc from 'fast-check';
import { usageByDay } from '../../db/sandboxes/usage.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { itHere, startTime } from '../helpers/server.ts';

const hour = 3_600_000;
const day = 24 * hour;
const today = Date.parse('2025-01-18T00:00:00Z');

describe('GET /v1/users/me/usage-breakdown', () => {
  let { app, alice, bob, get } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get } = await startInstavm());
  });

  const breakdown = async (query = '') => {
    const { status, body } = await get(`/v1/users/me/usage-breakdown${query}`);
    expect(status).to.equal(200);
    return body;
  };
  type Day = { date: string; cpu_hours: number; ram_gib_hours: number };

  it('200: sums runs over the days that they lasted, up to now', async () => {
    const size = { memoryMb: 2048, vcpuCount: 4 };
    const killed = { ...size, status: 'killed' as const };
    // 22:00 to 03:00
    await app.insert(alice, { ...killed, startedAt: today - 26 * hour, endAt: today - 21 * hour });
    // From before the period, for days
    await app.insert(alice, { ...killed, startedAt: today - 40 * day, endAt: today - day - 23 * hour });
    // Running since 10:00, which is half an hour
    await app.insert(alice, { ...size, startedAt: startTime - hour / 2, endAt: startTime + hour });
    // Paused after an hour
    await app.insert(alice, { ...size, startedAt: today, endAt: today + hour, status: 'paused' });
    // Its end is unknown
    await app.insert(alice, { ...killed, startedAt: today, endAt: null });
    await app.insert(bob, { ...size, startedAt: today - day });
    const usage = (date: string, hours: number) => ({
      date,
      cost_dollars: 0,
      cpu_hours: 4 * hours,
      ram_gib_hours: 2 * hours,
    });
    expect(await breakdown('?days=3')).to.deep.equal({
      period_start: '2025-01-16',
      period_end: '2025-01-18',
      total_days: 3,
      totals: { cost_dollars: 0, cpu_hours: 4 * 7.5, ram_gib_hours: 2 * 7.5 },
      daily_breakdown: [usage('2025-01-16', 3), usage('2025-01-17', 3), usage('2025-01-18', 1.5)],
    });
  });

  it('200: a period by dates, and 30 days by default', async () => {
    expect(await breakdown()).to.include({ period_start: '2024-12-20', period_end: '2025-01-18', total_days: 30 });
    const february = await breakdown('?start_date=2024-02-01&end_date=2024-02-29&days=7');
    expect(february.total_days).to.equal(29);
    expect(february.daily_breakdown.map(({ date }: Day) => date).slice(-2)).to.deep.equal(['2024-02-28', '2024-02-29']);
    expect(await breakdown('?start_date=2025-01-17')).to.include({ total_days: 2 });
    expect(await breakdown('?end_date=2025-01-10&days=2')).to.include({ period_start: '2025-01-09' });
    expect(await breakdown('?start_date=2024-01-01&end_date=2024-12-31')).to.include({ total_days: 366 });
  });

  it('422: too many days, no such day, an end before the start', async () => {
    for (const query of [
      'days=0',
      'days=367',
      'start_date=2025-02-30',
      'end_date=tomorrow',
      'start_date=2025-01-19',
      'start_date=2024-01-01&end_date=2025-01-01',
    ]) {
      expect((await get(`/v1/users/me/usage-breakdown?${query}`)).status, query).to.equal(422);
    }
  });

  itHere('finds every run that reaches into the period, whatever its length and however many there are', async () => {
    const run = fc.record({
      start: fc.integer({ min: -6 * 24, max: 4 * 24 }),
      hours: fc.option(fc.constantFrom(0, 1, 23, 24, 25, 60, 200), { nil: null }),
      status: fc.constantFrom('active' as const, 'paused' as const, 'killed' as const),
    });
    const runs = fc.sample(run, { numRuns: 1500, seed: 1 });
    const now = today + 3 * day + hour;
    const expected = [0, 0, 0, 0];
    for (const { start, hours, status } of runs) {
      const startedAt = today + start * hour;
      const endAt = hours === null ? null : startedAt + hours * hour;
      await app.insert(alice, { startedAt, endAt, status, vcpuCount: 1 });
      const end = Math.min(now, endAt ?? (status === 'active' ? now : startedAt));
      expected.forEach((_, n) => {
        const from = today + n * day;
        const lasted = Math.min(end, from + day) - Math.max(startedAt, from);
        expected[n] = (expected[n] as number) + Math.max(0, lasted) / hour;
      });
    }
    const usage = await usageByDay(app.server.context.store.db, now, alice.id, { from: today, days: 4 });
    expect(usage.map(({ cpuHours }) => cpuHours)).to.deep.equal(expected);
  });

  itHere('reads by index, without a sort, and without the runs that ended before the period', async () => {
    const { db, sqlite } = app.server.context.store;
    const plans: string[] = [];
    const { prepare } = sqlite;
    sqlite.prepare = ((text: string) => {
      const parameters = Array.from(text.matchAll(/\?/g), () => 1);
      const steps = prepare.call(sqlite, `explain query plan ${text}`).all(parameters) as { detail: string }[];
      plans.push(...steps.map(({ detail }) => detail));
      return prepare.call(sqlite, text);
    }) as typeof prepare;
    await usageByDay(db, startTime, alice.id, { from: today, days: 1 });
    sqlite.prepare = prepare;
    expect(plans).to.deep.equal([
      'SEARCH sandboxes USING INDEX sandboxes_newest_last (owner_id=? AND started_at>? AND started_at<?)',
      'SEARCH sandboxes USING INDEX sandboxes_long (owner_id=? AND <expr>>?)',
    ]);
  });
});
