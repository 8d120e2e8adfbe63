import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Build, buildOf, requestBuild, startBuild } from '../../../db/builds/builds.ts';
import { type LogEntry, readLog } from '../../../db/builds/log.ts';
import type { BuildSpec, BuildStep } from '../../../db/builds/spec.ts';
import { inTransaction } from '../../../db/store.ts';
import { actor, type Caller, type TestApp } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';

/** What became of a build. */
export type Built = { build: Build; log: LogEntry[]; text: string };

/** A step with these arguments. */
export function step(type: BuildStep['type'], ...args: string[]): BuildStep {
  return { type, args, filesHash: null, force: false };
}

/** Begins to build a template and returns the id of the build. */
export async function beginBuild(
  app: TestApp,
  caller: Caller,
  steps: BuildStep[],
  more: Partial<BuildSpec> & { name?: string } = {},
): Promise<Build> {
  const { store, machines } = app.server.context;
  const { name = 'mine', ...given } = more;
  const spec = { from: { image: 'image' }, steps, env: {}, startCmd: null, readyCmd: null, force: false, ...given };
  const by = actor(caller);
  const wanted = { name, tags: ['default'], snapshotType: null, vcpuCount: 1, memoryMb: 512 };
  const build = await inTransaction(store.db, async (trx) => {
    const requested = await requestBuild(trx, app.clock.now, by, wanted);
    const { id, templateId } = requested;
    await startBuild(trx, app.clock.now, by, { id, templateId, spec });
    return requested;
  });
  machines?.builds.start(build.id, by);
  return build;
}

/** Waits for the end of a build. */
export async function endOf(app: TestApp, { id }: Pick<Build, 'id'>): Promise<Built> {
  const { db } = app.server.context.store;
  const find = async () =>
    buildOf(await db.selectFrom('template_builds').selectAll().where('id', '=', id).executeTakeFirstOrThrow());
  await until('the end of the build', async () => (await find()).finishedAt !== null, 60_000);
  const log = await readLog(db, id, { offset: 0, limit: 10_000, level: 'debug' });
  return { build: await find(), log, text: log.map(({ message }) => message).join('\n') };
}

/** Builds a template and waits for its end. */
export async function buildTemplate(...args: Parameters<typeof beginBuild>): Promise<Built> {
  return endOf(args[0], await beginBuild(...args));
}

/** Uploads an archive that `script`, of a shell in an empty directory, makes. Returns its hash. */
export async function upload(
  app: TestApp,
  caller: Caller,
  build: Pick<Build, 'templateId'>,
  archive: Buffer,
): Promise<string> {
  const hash = randomBytes(32).toString('hex');
  const { buildFiles } = app.server.context.machines ?? {};
  await buildFiles?.receive(caller.id, { hash, templateId: build.templateId }, Readable.from([archive]));
  return hash;
}

/** Returns an archive of files that a shell's script makes in an empty directory. */
export function archiveOf(dir: string, script: string, ...tar: string[]): Buffer {
  const folder = `${dir}/archive-${randomBytes(4).toString('hex')}`;
  execFileSync('sh', ['-c', `mkdir ${folder} && cd ${folder} && ${script}`]);
  return execFileSync('tar', ['-C', folder, ...(tar.length > 0 ? tar : ['-czf', '-', '.'])], { maxBuffer: 2 ** 28 });
}
