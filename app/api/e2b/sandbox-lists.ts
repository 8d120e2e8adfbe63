import type { RequestHandler } from 'express';
import { compileFilter } from '../../../db/metadata.ts';
import { type Cursor, everything, listPage, type SandboxQuery } from '../../../db/sandboxes/lists/pages.ts';
import { countRunning } from '../../../db/sandboxes/lists/running.ts';
import { wholeSandboxes } from '../../../db/sandboxes/lists/texts.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { Turns } from '../../../db/turns.ts';
import { readTime, type Time, wholeMilliseconds } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { sendArray } from '../../http/json-array.ts';
import { nextToken, readToken } from './cursor.ts';
import { namespaceOf, parseReference } from './references.ts';
import { metadataFilter } from './request.ts';
import { listedSandbox } from './shapes.ts';

/** How many sandboxes of an unpaged list are read at a time. */
const pageSize = 250;

const statusOf = { running: 'active', paused: 'paused' } as const;

type ListQuery = {
  metadata?: string;
  state?: components['schemas']['SandboxState'][];
  startedAfter?: string;
  template?: string;
  order: SandboxQuery['order'];
  limit: number;
  nextToken?: string;
};

/** `GET /v2/sandboxes`: a page of running or paused sandboxes. */
export function listPaged({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const query = req.query as unknown as ListQuery;
    const states = query.state ?? ['running', 'paused'];
    const wanted: SandboxQuery = {
      statuses: states.map((state) => statusOf[state]),
      filter: compileFilter(metadataFilter(query.metadata)),
      since: query.startedAfter === undefined ? null : wholeMilliseconds(readTime(query.startedAfter) as Time),
      until: null,
      templateId: query.template === undefined ? null : parseReference(query.template, namespaceOf(user.name)),
      order: query.order,
      after: readToken(query.nextToken, query.order),
      limit: Number(query.limit),
    };
    const time = now();
    const turns = new Turns();
    const { sandboxes, hasMore } = await listPage(store.db, time, user.id, wanted, turns);
    const last = sandboxes.at(-1);
    if (hasMore && last) res.set('X-Next-Token', nextToken(last, query.order));
    if (states.includes('running')) {
      res.set('X-Total-Running', String(await countRunning(store.db, time, user.id, wanted, turns)));
    }
    await sendArray(res, config, wholeSandboxes(store.db, sandboxes), listedText, turns);
  };
}

/** `GET /sandboxes`: all running sandboxes. */
export function listRunning({ store, now, config }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const filter = compileFilter(metadataFilter(req.query.metadata as string | undefined));
    const wanted: SandboxQuery = { ...everything, statuses: ['active'], filter, limit: pageSize };
    const turns = new Turns();
    async function* allRunning(): AsyncGenerator<Sandbox> {
      for (let after: Cursor | null = null; ; ) {
        const { sandboxes, hasMore } = await listPage(store.db, now(), user.id, { ...wanted, after }, turns);
        yield* wholeSandboxes(store.db, sandboxes);
        after = sandboxes.at(-1) ?? null;
        if (!hasMore) return;
      }
    }
    await sendArray(res, config, allRunning(), listedText, turns);
  };
}

function listedText(sandbox: Sandbox): string {
  return JSON.stringify(listedSandbox(sandbox));
}
