import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Context, type Execution, type Result, Sandbox } from '@e2b/code-interpreter';
import { NotFoundError, TimeoutError } from 'e2b';
import type { Case, Heard, Outcome, Step } from './cases.ts';

/**
 * Runs cases.json with E2B's code interpreter for JavaScript, and prints each step's outcome as a
 * line of JSON.
 */
const members = [
  'text',
  'html',
  'markdown',
  'svg',
  'png',
  'jpeg',
  'pdf',
  'latex',
  'json',
  'javascript',
  'data',
  'chart',
];

function outcomeOf({ text, logs, error, results }: Execution, heard: Heard): Outcome {
  return {
    text: text ?? null,
    stdout: logs.stdout.join(''),
    stderr: logs.stderr.join(''),
    error: error ? { name: error.name, value: error.value, traceback: error.traceback } : null,
    results: results.map((result: Result) => ({ isMain: result.isMainResult, content: contentOf(result) })),
    heard,
  };
}

function contentOf(result: Result): Record<string, unknown> {
  const values = members.map((name) => [name, (result as unknown as Record<string, unknown>)[name]]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}

function silence(): Heard {
  return { stdout: '', stderr: '', results: 0, errors: 0 };
}

function optionsOf(sandbox: Sandbox, step: Step, contexts: Map<string, Context>, heard: Heard): object {
  const context = step.context === undefined ? {} : { context: contexts.get(step.context) };
  return {
    ...context,
    ...(step.language && { language: step.language }),
    ...(step.envs && { envs: step.envs }),
    ...(step.timeout && { timeoutMs: step.timeout * 1000 }),
    onStdout: async ({ line }: { line: string }) => {
      heard.stdout += line;
      if (step.creates !== undefined && heard.stdout === line) await sandbox.files.write(step.creates, '');
    },
    onStderr: ({ line }: { line: string }) => {
      heard.stderr += line;
    },
    onResult: () => {
      heard.results++;
    },
    onError: () => {
      heard.errors++;
    },
  };
}

async function perform(sandbox: Sandbox, step: Step, contexts: Map<string, Context>): Promise<object> {
  const of = (name: string) => contexts.get(name) as Context;
  if (step.create !== undefined) {
    const { language, cwd } = step;
    const made = await sandbox.createCodeContext({ ...(language && { language }), ...(cwd && { cwd }) } as object);
    contexts.set(step.create, made);
    return { language: made.language, cwd: cwd ? made.cwd : null };
  }
  if (step.listed !== undefined) {
    const listed = await sandbox.listCodeContexts();
    return { listed: listed.filter(({ id }) => id === of(step.listed as string).id).length };
  }
  if (step.restart !== undefined) {
    await sandbox.restartCodeContext(of(step.restart));
    return {};
  }
  if (step.remove !== undefined) {
    await sandbox.removeCodeContext(of(step.remove));
    return {};
  }
  const heard = silence();
  const [first, second] = step.both ?? [step.code as string];
  const running = sandbox.runCode(first as string, optionsOf(sandbox, step, contexts, heard));
  if (second === undefined) return outcomeOf(await running, heard);
  await delay(100);
  const following = sandbox.runCode(second, optionsOf(sandbox, step, contexts, silence()));
  const [, last] = await Promise.all([running, following]);
  return outcomeOf(last, silence());
}

function thrown(error: unknown): object {
  const name = error instanceof NotFoundError ? 'NotFound' : error instanceof TimeoutError ? 'TimeoutError' : 'Error';
  return { thrown: name, words: String(error) };
}

const [template = ''] = process.argv.slice(2);
const sandbox = await Sandbox.create(template, { envs: { OWN: 'sandbox' }, timeoutMs: 600_000 });
const contexts = new Map<string, Context>();
const cases = JSON.parse(readFileSync(new URL('cases.json', import.meta.url), 'utf8')) as Case[];
for (const { name, steps } of cases) {
  for (const [step, wanted] of steps.entries()) {
    const outcome = await perform(sandbox, wanted, contexts).catch(thrown);
    console.log(JSON.stringify({ case: name, step, outcome }));
  }
}
await sandbox.kill();
