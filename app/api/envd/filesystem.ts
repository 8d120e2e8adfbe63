import type { Router } from 'express';
import { Turns } from '../../../db/turns.ts';
import type { Context } from '../../context.ts';
import { ConnectError } from '../../http/connect.ts';
import type { Streams } from '../../http/streams/streams.ts';
import type { Entry } from '../../machines/agent/entry.ts';
import { AgentError } from '../../machines/agent/error.ts';
import * as files from '../../machines/agent/files.ts';
import { changesIn } from './changes.ts';
import { Procedures } from './connect/procedures.ts';
import { entryInfo } from './entry.ts';
import { Lanes } from './lanes.ts';
import { Watchers } from './watchers.ts';

const service = '/filesystem.Filesystem';
const keepalive = '{"keepalive":{}}';

/** The contract's description states this limit. */
const maxEntries = 50_000;

/** A list takes up to 1 KB of memory for each entry, so only short ones may be many at once. */
const shortList = 1000;
const maxLongLists = 8;

/** A machine that is slow must not keep others from listing. */
const longListMilliseconds = 60_000;

/** The procedures of E2B's service `filesystem.Filesystem`. */
export function filesystemRoutes(context: Context, streams: Streams): Router {
  const procedures = new Procedures(context, streams);
  addFiles(procedures);
  addWatching(procedures, new Watchers(context.now));
  return procedures.router;
}

function addFiles(procedures: Procedures): void {
  procedures.unary(`${service}/Stat`, async ({ path = '' }, { agent, target }) =>
    answer(await files.statFile(agent, target.user, path || target.workdir)),
  );
  const longLists = new Lanes(maxLongLists);
  procedures.unary(`${service}/ListDir`, async ({ path = '', depth = 0 }, { agent, target, gone }) => {
    const list = async (limit: number, signal: AbortSignal) =>
      listText(await files.listDirectory(agent, target.user, path || target.workdir, depth || 1, limit, signal));
    try {
      return await list(shortList, gone);
    } catch (error) {
      if (!(error instanceof AgentError && error.code === 'resource_exhausted')) throw error;
      return longLists.run(target.id, () => withinTime((late) => list(maxEntries, AbortSignal.any([gone, late]))));
    }
  });
  procedures.unary(`${service}/MakeDir`, async ({ path = '' }, { agent, target }) =>
    answer(await files.makeDirectory(agent, target.user, path)),
  );
  procedures.unary(`${service}/Move`, async ({ source = '', destination = '' }, { agent, target }) =>
    answer(await files.moveFile(agent, target.user, source, destination)),
  );
  procedures.unary(`${service}/Remove`, async ({ path = '' }, { agent, target }) => {
    await files.removeFile(agent, target.user, path);
    return {};
  });
}

function addWatching(procedures: Procedures, watchers: Watchers): void {
  procedures.stream(`${service}/WatchDir`, keepalive, async (message, call, stream) => {
    const { agent, target, timeoutMilliseconds } = call;
    stream.endAfter(timeoutMilliseconds);
    for await (const change of changesIn(agent, target.user, message, stream.over).changes) {
      await stream.send(change ? JSON.stringify({ filesystem: change }) : '{"start":{}}');
    }
  });
  procedures.unary(`${service}/CreateWatcher`, async (message, { agent, target }) => ({
    watcherId: await watchers.create(target.id, agent, target.user, message),
  }));
  procedures.unary(
    `${service}/GetWatcherEvents`,
    async ({ watcherId = '' }, { target }) => `{"events":[${(await watchers.take(target.id, watcherId)).join(',')}]}`,
  );
  procedures.unary(`${service}/RemoveWatcher`, async ({ watcherId = '' }, { target }) => {
    watchers.remove(target.id, watcherId);
    return {};
  });
}

async function withinTime<T>(list: (late: AbortSignal) => Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(longListMilliseconds);
  try {
    return await list(late);
  } catch (error) {
    if (!late.aborted) throw error;
    throw new ConnectError('deadline_exceeded', `The list took more than ${longListMilliseconds / 1000} seconds`);
  }
}

function answer(entry: Entry) {
  return { entry: entryInfo(entry) };
}

/** Returns the JSON text of a list, which may be long. */
async function listText(entries: Entry[]): Promise<string> {
  const turns = new Turns();
  let text = '';
  for (const entry of entries) {
    text += `${text && ','}${JSON.stringify(entryInfo(entry))}`;
    await turns.next();
  }
  return `{"entries":[${text}]}`;
}
