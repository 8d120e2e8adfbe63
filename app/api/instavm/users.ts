import { type Request, type RequestHandler, Router } from 'express';
import { type DayUsage, usageByDay } from '../../../db/sandboxes/usage.ts';
import { isoTime, readTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';

type Schemas = components['schemas'];

const dayMilliseconds = 86_400_000;
const maxDays = 366;

/** The routes of the tag `users`. */
export function usersRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/users/me', readMe);
  router.get('/v1/users/me/usage-breakdown', usageBreakdown(context));
  return router;
}

const readMe: RequestHandler = (req, res) => {
  const { id, name } = principalOf(req).user;
  res.json({ id, name, email: null, is_verified: false } satisfies Schemas['CurrentUser']);
};

function usageBreakdown({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const time = now();
    const { from, days } = periodOf(req, time);
    const usage = await usageByDay(store.db, time, principalOf(req).user.id, { from, days });
    const daily = usage.map((one, n) => ({ date: dateOf(from + n * dayMilliseconds), ...usageOf(one) }));
    const totals = usageOf({
      cpuHours: usage.reduce((sum, { cpuHours }) => sum + cpuHours, 0),
      ramGibHours: usage.reduce((sum, { ramGibHours }) => sum + ramGibHours, 0),
    });
    const body: Schemas['UsageBreakdown'] = {
      period_start: dateOf(from),
      period_end: dateOf(from + (days - 1) * dayMilliseconds),
      total_days: days,
      totals,
      daily_breakdown: daily,
    };
    res.json(body);
  };
}

function usageOf({ cpuHours, ramGibHours }: DayUsage): Schemas['Usage'] {
  return { cost_dollars: 0, cpu_hours: cpuHours, ram_gib_hours: ramGibHours };
}

/**
 * Returns the first day of the period, as its midnight in UTC, and the number of days. Throws
 * ValidationFailure for a date that does not exist, and for a period that is empty or too long.
 */
function periodOf(req: Request, now: number): { from: number; days: number } {
  const last = midnightOf(req, 'end_date') ?? Math.floor(now / dayMilliseconds) * dayMilliseconds;
  const from = midnightOf(req, 'start_date') ?? last - (Number(req.query.days) - 1) * dayMilliseconds;
  const days = (last - from) / dayMilliseconds + 1;
  if (days >= 1 && days <= maxDays) return { from, days };
  const reason = days < 1 ? 'it must not be after the end' : `a usage breakdown covers ${maxDays} days at most`;
  throw new ValidationFailure([valueError(['query', 'start_date'], reason, req.query.start_date)]);
}

function midnightOf({ query }: Request, name: 'start_date' | 'end_date'): number | null {
  const date = query[name];
  if (date === undefined) return null;
  const time = readTime(`${date}T00:00:00Z`);
  if (!time) throw new ValidationFailure([valueError(['query', name], 'there is no such day', date)]);
  return time.milliseconds;
}

function dateOf(milliseconds: number): string {
  return isoTime(milliseconds).slice(0, 'YYYY-MM-DD'.length);
}
