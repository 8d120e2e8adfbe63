import type { Request } from 'express';
import { type JsonObject, parseJson } from '../../../../db/json/json.ts';
import { findMachine } from '../../../../db/machines/read.ts';
import { createInSession, type Session } from '../../../../db/sessions/sessions.ts';
import type { Trx } from '../../../../db/store.ts';
import { defaultLifetimeSeconds } from '../../../../spec/limits.ts';
import { actorOf } from '../../../auth.ts';
import type { Context, Machines } from '../../../context.ts';
import type { Size } from '../../../machines/launch/size.ts';
import { egressOf } from '../../../machines/network/settings.ts';
import { shownToUsers } from '../errors.ts';

/**
 * Returns a function that starts another sandbox in a session whose last one has ended, and returns
 * its id: a session of InstaVM's outlives its machine. The new sandbox is like the last one.
 * Requests that come meanwhile share the attempt, which goes on if the first client leaves. Throws
 * what `Launcher.launch` throws, and HttpError 403 instead of 404.
 */
export function createRestarter(
  context: Context,
  machines: Machines,
): (req: Request, session: Session) => Promise<string> {
  const underWay = new Map<string, Promise<string>>();
  return (req, session) => {
    const { id } = session;
    const starting = underWay.get(id) ?? restart(context, machines, req, session).finally(() => underWay.delete(id));
    underWay.set(id, starting);
    return starting;
  };
}

async function restart({ store, now, stopping }: Context, machines: Machines, req: Request, session: Session) {
  const { id: sessionId, sandbox: last, lifetimeSeconds } = session;
  const record = await findMachine(store.db, now(), last.id);
  const settings = last.settings === null ? null : (parseJson(last.settings) as JsonObject);
  const wanted = {
    templateId: last.templateId,
    metadata: parseJson(last.metadata) as JsonObject,
    env: record?.env ? JSON.parse(record.env) : null,
    settings,
    onTimeout: last.onTimeout,
    lifetimeSeconds: lifetimeSeconds ?? defaultLifetimeSeconds,
  };
  const size = { vcpuCount: last.vcpuCount, memoryMb: last.memoryMb };
  const by = actorOf(req);
  const order = {
    by,
    keyed: null,
    templateId: last.templateId,
    machine: { ...size, network: egressOf(settings) },
    insert: (trx: Trx, id: string, given: Size) =>
      createInSession(trx, now(), by, sessionId, { ...wanted, ...given, id }),
    signal: stopping,
  };
  try {
    return (await machines.launch(order)).id;
  } catch (error) {
    throw shownToUsers(error);
  }
}
