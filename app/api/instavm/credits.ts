import { type RequestHandler, Router } from 'express';
import { isoTime } from '../../../spec/time.ts';
import type { components, operations } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import { reasonFor } from '../../contract/not-offered-paths.ts';

type Schemas = components['schemas'];
type QueryOf<Name extends keyof operations> = Required<NonNullable<operations[Name]['parameters']['query']>>;

/** The routes of the tag `credits`. Sandpit bills nothing, so all amounts are 0. */
export function creditsRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/credits/allocation', allocation(context));
  router.get('/v1/credits/usage', (_req, res) => void res.json([]));
  router.get('/v1/credits/summary', summary);
  router.get('/v1/credits/check', check(context));
  router.get('/v1/credits/rates', rates(context));
  router.get('/v1/credits/usage/trends', trends(context));
  router.get('/v1/credits/usage/forecasting', forecast);
  return router;
}

const none: Schemas['CreditAmounts'] = { allocated: 0, used: 0, remaining: 0 };

function allocation({ now }: Context): RequestHandler {
  return (_req, res) => {
    const today = new Date(now());
    const month = (n: number) => isoTime(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + n));
    const body: Schemas['CreditAllocation'] = {
      id: 'none',
      allocation_period_start: month(0),
      allocation_period_end: month(1),
      dollars: none,
      browser_automation: none,
    };
    res.json(body);
  };
}

const summary: RequestHandler = (req, res) => {
  const { period } = req.query as QueryOf<'summarize_credits'>;
  res.json({ period, dollars: none, browser_automation: none } satisfies Schemas['CreditSummary']);
};

function check({ contract }: Context): RequestHandler {
  const noBrowsers = reasonFor(contract, '/v1/browser/sessions/');
  return (req, res) => {
    const { usage_type: type, required_credits: text } = req.query;
    const required = Number(text);
    const available = type !== 'browser_automation';
    const body: Schemas['CreditCheck'] = {
      available,
      required_credits: required,
      remaining_credits: 0,
      shortage: available ? 0 : required,
      reason: available ? 'Sandpit bills nothing' : noBrowsers,
    };
    res.json(body);
  };
}

function rates({ contract }: Context): RequestHandler {
  const body: Schemas['CreditRates'] = {
    vm_execution: {
      rate_description: 'Sandpit bills nothing',
      cpu_rate_per_second_per_core: 0,
      ram_rate_per_gib_per_second: 0,
    },
    browser_automation: {
      rate_description: reasonFor(contract, '/v1/browser/sessions/'),
      sample_1_call: 0,
      minimum_charge: 0,
    },
  };
  return (_req, res) => void res.json(body);
}

const hoursIn = { hourly: 1, daily: 24, weekly: 168 };

function trends({ now }: Context): RequestHandler {
  return (req, res) => {
    const { period, granularity } = req.query as QueryOf<'list_credit_trends'>;
    const step = hoursIn[granularity];
    const hours = Number.parseInt(period, 10) * 24;
    const bucket = step * 3_600_000;
    const end = (Math.floor(now() / bucket) + 1) * bucket;
    const count = Math.ceil(hours / step);
    const series = Array.from({ length: count }, (_, n) => ({
      start: isoTime(end - (count - n) * bucket),
      cost_dollars: 0 as const,
      credits_used: 0 as const,
    }));
    res.json({ period, granularity, series } satisfies Schemas['CreditTrends']);
  };
}

const forecast: RequestHandler = (_req, res) => {
  const body: Schemas['CreditForecast'] = { projected_cost_dollars: 0, recommendations: [] };
  res.json(body);
};
