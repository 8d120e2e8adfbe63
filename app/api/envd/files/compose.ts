import type { Request } from 'express';
import { randomUuid } from '../../../../db/random.ts';
import type { Context } from '../../../context.ts';
import { maxBodyBytes } from '../../../contract/body/bytes.ts';
import { formats } from '../../../contract/body/formats.ts';
import { ProblemList } from '../../../contract/problems/problem-list.ts';
import { HttpError, ValidationFailure } from '../../../errors.ts';
import { wholeBody } from '../../../http/streams/body.ts';
import type { Agent } from '../../../machines/agent/agent.ts';
import { moveFile, readFile, removeFile, statFile, writeFile } from '../../../machines/agent/files.ts';
import { checkedPath, pathResolver, refuseOther } from './paths.ts';
import { type Written, written } from './written.ts';

type Compose = { source_paths: string[]; destination: string; username?: string };

/**
 * Returns a function that reads the body of a request to join files. Throws HttpError, and
 * ValidationFailure for a body that breaks the contract.
 */
export function composeReader({ contract, config }: Context): (req: Request) => Promise<Compose> {
  const schema = contract.components.schemas.EnvdCompose ?? {};
  const json = formats['application/json'];
  return async (req) => {
    const bytes = await wholeBody(req, config.requestSeconds, maxBodyBytes);
    const body = json?.parse(bytes);
    const list = new ProblemList(contract);
    if (json) list.check(['body'], schema, json.readSent(bytes));
    if (list.problems.length > 0) throw new ValidationFailure(list.problems);
    return body as Compose;
  };
}

/**
 * Joins files to one and removes them, as E2B's envd does. The file is written beside its
 * destination and then moved there, so that a failure leaves what was there. Throws HttpError,
 * AgentError and MachineError.
 */
export async function composeFiles(agent: Agent, wanted: Compose, signal: AbortSignal): Promise<Written> {
  const { source_paths: sources, destination, username: user = '' } = wanted;
  const resolve = await pathResolver(agent, user, signal);
  const target = resolve(checkedPath(destination));
  for (const source of sources) {
    if (resolve(checkedPath(source)) === target) throw new HttpError(400, `The source ${source} is the destination`);
    refuseOther(await statFile(agent, user, source, signal), source);
  }
  const part = `${target}.${randomUuid()}.part`;
  try {
    await writeFile(agent, user, part, contentOf(agent, user, sources, signal), {}, signal);
    const entry = await moveFile(agent, user, part, target, signal);
    for (const source of sources) await removeFile(agent, user, source, signal);
    return written(entry);
  } catch (error) {
    await removeFile(agent, user, part).catch(() => {
      // The failure before is the one to report.
    });
    throw error;
  }
}

async function* contentOf(agent: Agent, user: string, paths: string[], signal: AbortSignal): AsyncGenerator<Buffer> {
  for (const path of paths) {
    const { content } = await readFile(agent, user, path, undefined, signal);
    yield* content;
  }
}
