import { type Request, type RequestHandler, Router } from 'express';
import { parametersOf } from '../../../spec/load.ts';
import { isoTime, readTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { credentialReader, isPresented } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { operationOf } from '../../contract/operation.ts';
import { HttpError, type Problem, ValidationFailure, valueError } from '../../errors.ts';
import { prune, sweep } from '../../jobs/tasks.ts';
import { faultProblems } from './fault-problems.ts';
import type { TestMode } from './mode.ts';
import type { RequestFilter } from './recording.ts';
import { seed } from './seed.ts';
import { addUser } from './users.ts';

type Schemas = components['schemas'];

/** The routes of the tag `test`. With a credential, most of them affect only its user. */
export function testRoutes(context: Context, test: TestMode): Router {
  const router = Router();
  const sender = senderReader(context);
  router.use(refuseUnknownParameters(context));
  router.get('/_test/clock', readClock(test));
  router.post('/_test/clock', changeClock(context, test));
  router.post('/_test/seed', seed(context));
  router.post('/_test/users', addUser(context));
  router.post('/_test/reset', reset(test, sender));
  router.get('/_test/faults', listFaults(test, sender));
  router.post('/_test/faults', addFault(context, test, sender));
  router.delete('/_test/faults', clearFaults(test, sender));
  router.get('/_test/requests', listRequests(test, sender));
  router.delete('/_test/requests', clearRequests(test, sender));
  return router;
}

/**
 * A year before the last time that can be written as RFC 3339, so that the ends and deadlines
 * computed from the clock can be written as well.
 */
const lastTime = Date.parse('9998-12-31T23:59:59.999Z');

function readClock(test: TestMode): RequestHandler {
  return (_req, res) => void res.json(clockOf(test));
}

function changeClock(context: Context, test: TestMode): RequestHandler {
  return async (req, res) => {
    const { set, advance_seconds: advanceSeconds, freeze }: Schemas['TestClockChange'] = req.body;
    const to = (readTime(set ?? '')?.milliseconds ?? test.clock.now()) + (advanceSeconds ?? 0) * 1000;
    if (to > lastTime) throw new ValidationFailure([tooLate(set === undefined ? 'advance_seconds' : 'set', req.body)]);
    test.clock.change({ to, isFrozen: freeze });
    // Run the background jobs at once, so that counts, events and webhooks match the new time.
    await sweep(context);
    await prune(context);
    context.webhooks.wake();
    res.json(clockOf(test));
  };
}

function tooLate(name: 'set' | 'advance_seconds', body: Schemas['TestClockChange']): Problem {
  return valueError(['body', name], 'the clock ends with the year 9998', body[name]);
}

function reset(test: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    await test.reset(await sender.user(req));
    res.json(clockOf(test));
  };
}

function listFaults({ faults }: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    res.json({ faults: faults.list(await sender.id(req)) } satisfies Schemas['TestFaults']);
  };
}

function addFault({ contract }: Context, { faults }: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    const userId = await sender.id(req);
    const problems = faultProblems(contract, req.body);
    if (problems.length > 0) throw new ValidationFailure(problems);
    faults.add(req.body, userId);
    res.status(201).json({ faults: faults.list(userId) } satisfies Schemas['TestFaults']);
  };
}

function clearFaults({ faults }: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    faults.clear(await sender.id(req));
    res.status(204).end();
  };
}

function listRequests({ recording }: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    const requests = recording.list(await filterOf(req, sender));
    res.json({ requests } satisfies Schemas['TestRequests']);
  };
}

function clearRequests({ recording }: TestMode, sender: SenderReader): RequestHandler {
  return async (req, res) => {
    recording.clear(await filterOf(req, sender));
    res.status(204).end();
  };
}

async function filterOf(req: Request, sender: SenderReader): Promise<RequestFilter> {
  const { method, path } = req.query as { method?: string; path?: string };
  return { userId: await sender.id(req), method, path };
}

type SenderReader = ReturnType<typeof senderReader>;

/** Reads the user whose credential a request carries: null without one. Throws HttpError 401. */
function senderReader(context: Context) {
  const readCredential = credentialReader(context);
  const user = async (req: Request) => {
    if (!isPresented(req)) return null;
    const principal = await readCredential(req);
    if (principal) return principal.user;
    throw new HttpError(401, 'Could not validate credentials', { 'WWW-Authenticate': 'Bearer' });
  };
  const id = async (req: Request) => (await user(req))?.id ?? null;
  return { user, id };
}

/**
 * Refuses unknown parameters. A filter with a typing error would match everything, so that a test
 * could pass for the wrong reason.
 */
function refuseUnknownParameters({ contract }: Context): RequestHandler {
  return (req, _res, next) => {
    const operation = req.path.startsWith('/_test/') ? operationOf(contract, req) : undefined;
    if (!operation) return next();
    const known = parametersOf(contract, operation).map(({ name }) => name);
    const unknown = [...new URLSearchParams(req.url.split('?')[1])].filter(([name]) => !known.includes(name));
    if (unknown.length > 0) throw new ValidationFailure(unknown.map(([name, value]) => forbidden(name, value)));
    next();
  };
}

function forbidden(name: string, input: string): Problem {
  return { type: 'extra_forbidden', loc: ['query', name], msg: 'Extra inputs are not permitted', input };
}

function clockOf({ clock }: TestMode): Schemas['TestClock'] {
  return { now: isoTime(clock.now()), frozen: clock.isFrozen };
}
