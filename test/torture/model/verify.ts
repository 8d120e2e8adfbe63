import { isDeepStrictEqual } from 'node:util';
import { vm } from '../../../app/api/instavm/shapes.ts';
import { exportSandboxes } from '../../../db/sandboxes/lists/export.ts';
import { checkIndex } from '../../../db/sqlite/index/reindex.ts';
import { openStore } from '../../../db/sqlite/open.ts';
import { call } from './client.ts';
import { judge, type Model, type Vm } from './model.ts';

/**
 * The number of sandboxes (the latest addressed) that are also read over HTTP; a server that has
 * just started is slow.
 */
const maxAsked = 25;

/** All errors found, by kind. */
export type Findings = {
  lost: string[];
  half: string[];
  /** the index disagrees with the documents, or a filter misses a sandbox */
  index: string[];
  /** errors of SQLite's integrity check */
  integrity: string[];
};

export const noFindings = (): Findings => ({ lost: [], half: [], index: [], integrity: [] });

/**
 * Compares the database, opened beside the running server, and the server's responses with the
 * model.
 */
export async function verify(
  file: string,
  url: string,
  model: Model,
  findings: Findings,
  isThorough: boolean,
): Promise<void> {
  const store = openStore(file);
  try {
    const found = new Map<string, Vm>();
    for await (const row of exportSandboxes(store.db, Date.now)) found.set(row.id, JSON.parse(vm(row)));
    const { lost, half } = judge(model, found);
    findings.lost.push(...lost);
    findings.half.push(...half);
    findings.index.push(...(await checkIndex(store.db)).errors);
    if (isThorough) findings.integrity.push(...integrityErrors(store.sqlite));
  } finally {
    await store.close();
  }
  for (const id of [...model.touched].slice(-maxAsked)) await verifyOver(url, model, id, findings);
  model.forgetTouched();
}

function integrityErrors(sqlite: ReturnType<typeof openStore>['sqlite']): string[] {
  const lines = sqlite.prepare('pragma integrity_check').pluck().all() as string[];
  return lines.filter((line) => line !== 'ok');
}

/**
 * Over HTTP: reads the sandbox, finds it by its present key, and does not find it by earlier
 * ones.
 */
async function verifyOver(url: string, model: Model, id: string, findings: Findings): Promise<void> {
  const entry = model.entries.get(id);
  if (!entry) return;
  const { state, staleKeys } = entry;
  const read = await call(url, 'GET', `/v1/vms/${id}`);
  if (!isDeepStrictEqual(read?.body, state)) findings.lost.push(`GET ${id} answers ${JSON.stringify(read)}`);
  const { key } = state.metadata;
  if (!isDeepStrictEqual(await idsWith(url, key), [id])) findings.index.push(`${id} is not found by its key`);
  for (const stale of staleKeys.filter((each) => each !== key)) {
    if ((await idsWith(url, stale))?.length !== 0) findings.index.push(`${id} is found by a key it had before`);
  }
}

async function idsWith(url: string, key: string): Promise<string[] | undefined> {
  const filter = encodeURIComponent(JSON.stringify({ common: true, nested: { key } }));
  const found = await call(url, 'GET', `/v1/sessions/sandboxes?metadata=${filter}`);
  return (found?.body as { sandbox_id: string }[] | undefined)?.map(({ sandbox_id }) => sandbox_id);
}
