/** A step of a case: what to do, and what is to come of it. */
export type Step = {
  code?: string;
  /** two pieces of code at once, of which the second is looked at */
  both?: string[];
  create?: string;
  listed?: string;
  restart?: string;
  remove?: string;
  /** the name of a context that `create` made */
  context?: string;
  language?: string;
  cwd?: string;
  envs?: Record<string, string>;
  /** seconds */
  timeout?: number;
  text?: string | null;
  stdout?: string;
  stderr?: string;
  stdoutLength?: number;
  /** the name of the code's error */
  error?: string;
  /** a part of its traceback */
  traceback?: string;
  /** what the client throws */
  thrown?: string;
  /** a file to create once the first output is heard, for which the code waits */
  creates?: string;
  /** of the last result */
  members?: string[];
  /** some of its members */
  content?: Record<string, unknown>;
  isMain?: boolean;
  data?: object;
  /** the type of the chart */
  chart?: string;
  /** how many results there are */
  count?: number;
};

export type Case = { name: string; steps: Step[] };

/** What a client's callbacks were told. */
export type Heard = { stdout: string; stderr: string; results: number; errors: number };

/** A result, with those of its members that are there. */
type Shown = { isMain: boolean; content: { data?: object; chart?: { type: string } } & Record<string, unknown> };

/** What a client says of an execution. */
export type Outcome = {
  text: string | null;
  stdout: string;
  stderr: string;
  error: { name: string; value: string; traceback: string } | null;
  results: Shown[];
  heard: Heard;
};

/** What a client says of a step: other members are of steps that run no code. */
export type Said = Partial<Outcome> & { thrown?: string; words?: string; listed?: number };

/** Returns the problem with the outcome of a step; null: there is none. */
export function problemWith(step: Step, said: Said): string | null {
  const { text, stdout = '', stderr, error, results = [], heard, thrown, words, listed } = said;
  const last = results.at(-1);
  const checks: [keyof Step, unknown][] = [
    ['text', text],
    ['stdout', stdout],
    ['stderr', stderr],
    ['stdoutLength', stdout.length],
    ['members', last && Object.keys(last.content).sort()],
    [
      'content',
      step.content && Object.fromEntries(Object.keys(step.content).map((name) => [name, last?.content[name]])),
    ],
    ['isMain', last?.isMain],
    ['data', last?.content.data],
    ['chart', last?.content.chart?.type],
    ['count', results.length],
  ];
  if (thrown !== step.thrown) return `it throws ${thrown}: ${words}`;
  if (step.listed !== undefined && listed !== 1) return `the context is listed ${listed} times`;
  if (error?.name !== step.error) return `its error is ${JSON.stringify(error)}`;
  if (step.traceback && !error?.traceback.includes(step.traceback)) return `its traceback is ${error?.traceback}`;
  for (const [member, value] of checks) {
    const wanted = step[member];
    if (wanted === undefined || JSON.stringify(wanted) === JSON.stringify(value)) continue;
    return `${member} is ${JSON.stringify(value)?.slice(0, 300)}, not ${JSON.stringify(wanted)}`;
  }
  const isSilent = step.code === undefined || thrown !== undefined;
  if (isSilent || !heard) return null;
  const sums = { stdout, stderr, results: results.length, errors: error ? 1 : 0 };
  return JSON.stringify(heard) === JSON.stringify(sums)
    ? null
    : `callbacks heard ${JSON.stringify(heard).slice(0, 300)}`;
}
