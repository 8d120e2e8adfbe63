import { once } from 'node:events';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { getExecution } from '../../../../db/machines/executions.ts';
import { isoTime } from '../../../../spec/time.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { principalOf } from '../../../auth.ts';
import type { Context } from '../../../context.ts';
import { HttpError } from '../../../errors.ts';
import { Streams } from '../../../http/streams/streams.ts';
import { LimitedText } from '../../../machines/code/limited-text.ts';
import { type Order, runCode } from '../../../machines/code/run.ts';
import { shownToUsers } from '../errors.ts';
import { stagedFor } from './staged-env.ts';
import { type MachineTarget, type MachineTargets, noMachines, placeOf } from './target.ts';

type Schemas = components['schemas'];

/** The timeout of code that names none, as InstaVM documents it. */
const defaultSeconds = 60;
/** How much of the errors is sent, in UTF-16 units: they wait for the end of the output. */
const maxErrors = 2 ** 20;

/** The routes that run code. */
export function executeRoutes(context: Context, targets: MachineTargets): Router {
  const router = Router();
  router.post('/execute', execute(targets));
  router.post('/execute_async', executeAsync(context, targets));
  router.get('/v1/executions/:task_id', readExecution(context));
  return router;
}

function execute(targets: MachineTargets): RequestHandler {
  const streams = new Streams();
  return async (req, res) => {
    const target = await targets.ofSession(req, req.body.session_id);
    const order = orderIn(req, target);
    const agent = await target.agent();
    const closed = streams.take(res, target.id);
    const answer = new Answer(res, closed);
    const began = performance.now();
    try {
      const ending = await runCode(agent, placeOf(target), order, (source, text) => answer.write(source, text), closed);
      answer.end({ ...ending, runSeconds: (performance.now() - began) / 1000 });
    } catch (error) {
      if (closed.aborted) return;
      if (!res.headersSent) throw shownToUsers(error);
      await answer.write('stderr', `${error instanceof Error ? error.message : error}\n`);
      answer.end({ exitCode: -1, cpuSeconds: null, runSeconds: (performance.now() - began) / 1000 });
    }
  };
}

/**
 * The JSON object that answers `/execute`. Its `stdout` is sent while the code runs, so that long
 * output takes no memory.
 */
class Answer {
  readonly #res: Response;
  readonly #closed: AbortSignal;
  readonly #errors = new LimitedText(maxErrors);

  constructor(res: Response, closed: AbortSignal) {
    this.#res = res;
    this.#closed = closed;
  }

  async write(source: 'stdout' | 'stderr', text: string): Promise<void> {
    if (source === 'stderr') this.#errors.add(text);
    else if (text !== '' && !this.#send(JSON.stringify(text).slice(1, -1))) {
      await once(this.#res, 'drain', { signal: this.#closed });
    }
  }

  end(ending: { exitCode: number; cpuSeconds: number | null; runSeconds: number }): void {
    const { exitCode: exit_code, cpuSeconds: cpu_time, runSeconds: execution_time } = ending;
    const rest = JSON.stringify({ stderr: String(this.#errors), exit_code, execution_time, cpu_time });
    this.#send(`",${rest.slice(1)}`);
    this.#res.end();
  }

  #send(text: string): boolean {
    const begin = this.#res.headersSent ? '' : '{"stdout":"';
    if (begin !== '') this.#res.type('application/json');
    return this.#res.write(begin + text);
  }
}

function executeAsync({ machines }: Context, targets: MachineTargets): RequestHandler {
  return async (req, res) => {
    const target = await targets.ofSession(req, req.body.session_id);
    const order = orderIn(req, target);
    const machine = { id: target.id, agent: await target.agent(), place: placeOf(target) };
    const id = await machines?.executions.start(machine, order);
    res.json({ task_id: id } satisfies { task_id: string | undefined });
  };
}

function readExecution({ store, machines }: Context): RequestHandler {
  return async (req, res) => {
    if (!machines) throw new HttpError(501, noMachines);
    const found = await getExecution(store.db, principalOf(req).user.id, req.params.task_id as string);
    req.sandboxId = found.sandboxId;
    res.json({
      task_id: found.id,
      is_complete: found.endedAt !== null,
      serialized_stdout: found.stdout,
      serialized_stderr: found.stderr,
      exit_code: found.exitCode,
      execution_time: found.runSeconds,
      cpu_time: found.cpuSeconds,
      created_at: isoTime(found.createdAt),
    } satisfies Schemas['Execution']);
  };
}

function orderIn(req: Request, target: MachineTarget): Order {
  const { command: code, language, timeout }: Schemas['ExecuteRequest'] = req.body;
  const env = stagedFor(target);
  return { language: language ?? 'python', code, env, timeoutSeconds: timeout ?? defaultSeconds };
}
