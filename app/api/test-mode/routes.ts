import { type Request, type RequestHandler, Router } from 'express';
import { createApiKey } from '../../../db/accounts/credentials.ts';
import { createUser, findUser, newPasswordHash, setPasswordHash, type User } from '../../../db/accounts/users.ts';
import { StoreError } from '../../../db/errors.ts';
import type { Origin } from '../../../db/events/record.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { parametersOf } from '../../../spec/load.ts';
import { isoTime, readTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { credentialReader, isPresented, originOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { operationOf } from '../../contract/problems/problems.ts';
import { HttpError, type Problem, ValidationFailure, valueError } from '../../errors.ts';
import { RecordImporter, type SandboxRecord } from '../../import/import.ts';
import { prune, sweep } from '../../jobs/sweeper.ts';
import { faultProblems } from './fault-problems.ts';
import type { TestMode } from './mode.ts';
import type { Wanted } from './recording.ts';

type Schemas = components['schemas'];

/** A year before the last time that can be written: so the ends and deadlines counted from now can be, too. */
const lastTime = Date.parse('9998-12-31T23:59:59.999Z');

/** What only a test server has. */
export function testRoutes(context: Context, test: TestMode): Router {
  const router = Router();
  const whose = userReader(context);
  router.use(refuseUnknownParameters(context));
  router.get('/_test/clock', (_req, res) => void res.json(shownClock(test)));
  router.post('/_test/clock', changeClock(context, test));
  router.post('/_test/seed', seed(context));
  router.post('/_test/users', addUser(context));
  router.post('/_test/reset', reset(test, whose));
  router.get('/_test/faults', async (req, res) => void res.json(shownFaults(test, idOf(await whose(req)))));
  router.post('/_test/faults', addFault(context, test, whose));
  router.delete('/_test/faults', clearFaults(test, whose));
  router.get('/_test/requests', listRequests(test, whose));
  router.delete('/_test/requests', clearRequests(test, whose));
  return router;
}

type Whose = (req: Request) => Promise<User | null>;

/** Returns whose test a request is about: the user's whose credential it carries, or with none everybody's. */
function userReader(context: Context): Whose {
  const authenticate = credentialReader(context);
  return async (req) => {
    if (!isPresented(req)) return null;
    const principal = await authenticate(req);
    if (principal) return principal.user;
    throw new HttpError(401, 'Could not validate credentials', { 'WWW-Authenticate': 'Bearer' });
  };
}

function idOf(user: User | null): number | null {
  return user?.id ?? null;
}

/** A parameter that is mistyped would make a search that finds all: what is unknown is refused here. */
function refuseUnknownParameters({ contract }: Context): RequestHandler {
  return (req, _res, next) => {
    const operation = req.path.startsWith('/_test/') ? operationOf(contract, req) : undefined;
    if (!operation) return next();
    const known = parametersOf(contract, operation).map(({ name }) => name);
    const problems = [...new URLSearchParams(req.url.split('?')[1])]
      .filter(([name]) => !known.includes(name))
      .map(([name, input]) => ({
        type: 'extra_forbidden',
        loc: ['query', name],
        msg: 'Extra inputs are not permitted',
        input,
      }));
    if (problems.length > 0) throw new ValidationFailure(problems);
    next();
  };
}

function shownClock({ clock }: TestMode): Schemas['TestClock'] {
  return { now: isoTime(clock.now()), frozen: clock.isFrozen };
}

function shownFaults({ faults }: TestMode, user: number | null): Schemas['TestFaults'] {
  return { faults: faults.list(user) };
}

async function wantedRequests(req: Request, whose: Whose): Promise<Wanted> {
  const { method, path } = req.query as { method?: string; path?: string };
  return { user: idOf(await whose(req)), method, path };
}

function listRequests({ recording }: TestMode, whose: Whose): RequestHandler {
  return async (req, res) => {
    const body: Schemas['TestRequests'] = { requests: recording.list(await wantedRequests(req, whose)) };
    res.json(body);
  };
}

function clearRequests({ recording }: TestMode, whose: Whose): RequestHandler {
  return async (req, res) => {
    recording.clear(await wantedRequests(req, whose));
    res.status(204).end();
  };
}

function changeClock(context: Context, test: TestMode): RequestHandler {
  return async (req, res) => {
    const { set, advance_seconds: advanceSeconds, freeze }: Schemas['TestClockChange'] = req.body;
    const to = (readTime(set ?? '')?.milliseconds ?? test.clock.now()) + (advanceSeconds ?? 0) * 1000;
    if (to > lastTime) throw new ValidationFailure([tooLate(set === undefined ? 'advance_seconds' : 'set', req.body)]);
    test.clock.change({ to, isFrozen: freeze });
    // What is over by now is to be over for everything that counts or tells of it, too.
    await sweep(context);
    await prune(context);
    context.webhooks.wake();
    res.json(shownClock(test));
  };
}

function tooLate(name: 'set' | 'advance_seconds', body: Schemas['TestClockChange']): Problem {
  return valueError(['body', name], 'the clock ends with the year 9998', body[name]);
}

function seed({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const records: SandboxRecord[] = req.body;
    const keys: Record<string, string> = {};
    const body: Schemas['TestSeeded'] = await inTransaction(store.db, async (trx) => {
      const findOwner = (name: string) => findOrCreateUser(trx, now(), originOf(req), name, keys);
      const importer = new RecordImporter(trx, now, originOf(req), findOwner);
      for (const [index, record] of records.entries()) await addRecord(importer, record, index);
      await importer.finish();
      return { imported: importer.count, api_keys: keys };
    });
    res.json(body);
  };
}

/** Throws ValidationFailure where the record is at fault. */
async function addRecord(importer: RecordImporter, record: SandboxRecord, index: number): Promise<void> {
  try {
    await importer.add(record);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'conflict') throw error;
    const { message } = error as Error;
    throw new ValidationFailure([{ ...valueError(['body', index], message, null), ctx: { error: message } }]);
  }
}

/** Returns the user, who has an API key, put among `keys`, if it was this that created them. */
export async function findOrCreateUser(
  trx: Trx,
  now: number,
  by: Origin,
  name: string,
  keys: Record<string, string> = {},
): Promise<User> {
  const found = await findUser(trx, name);
  if (found) return found;
  const user = await createUser(trx, now, by, name, null);
  keys[name] = await createApiKey(trx, now, { ...by, ownerId: user.id }, 'test');
  return user;
}

function addUser({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { name, password }: Schemas['TestUserRequest'] = req.body;
    const by = originOf(req);
    const hash = password === undefined ? null : await newPasswordHash(password);
    const apiKey = await inTransaction(store.db, async (trx) => {
      const found = await findUser(trx, name);
      if (found && hash !== null) await setPasswordHash(trx, now(), by, found, hash);
      const user = found ?? (await createUser(trx, now(), by, name, hash));
      return createApiKey(trx, now(), { ...by, ownerId: user.id }, 'test');
    });
    const body: Schemas['TestUser'] = { name, api_key: apiKey };
    res.json(body);
  };
}

function reset(test: TestMode, whose: Whose): RequestHandler {
  return async (req, res) => {
    await test.reset(await whose(req));
    res.json(shownClock(test));
  };
}

function addFault({ contract }: Context, test: TestMode, whose: Whose): RequestHandler {
  return async (req, res) => {
    const user = idOf(await whose(req));
    const problems = faultProblems(contract, req.body);
    if (problems.length > 0) throw new ValidationFailure(problems);
    test.faults.add(req.body, user);
    res.status(201).json(shownFaults(test, user));
  };
}

function clearFaults({ faults }: TestMode, whose: Whose): RequestHandler {
  return async (req, res) => {
    faults.clear(idOf(await whose(req)));
    res.status(204).end();
  };
}
