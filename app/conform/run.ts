import { Failure, Skip } from './failure.ts';
import { Exhausted, Unreachable } from './http/client.ts';
import { answerLine, curlLine } from './http/exchange.ts';
import { type Rule, sourceText } from './rule.ts';
import type { Maker } from './sandboxes/maker.ts';
import { createSuite, type Options, prepare, type Suite, Unsuitable } from './suite.ts';

/** Nobody wonders for so long what is going on. */
const momentMilliseconds = 1000;

export type Outcome = 'pass' | 'fail' | 'skip';

export type Result = {
  id: string;
  title: string;
  outcome: Outcome;
  source: string;
  seconds: number;
  /** why it was skipped */
  why?: string;
  failure?: { request: string | null; expected: string; got: string };
};

export type Report = {
  url: string;
  seed: number;
  results: Result[];
  requests: number;
  seconds: number;
  /** why nothing, or not all, could be run */
  error: string | null;
  /** sandboxes the suite made: how many, what the server refused to make, and what could not be ended */
  sandboxes: { made: number; refused: string[]; left: string[] };
};

/**
 * Runs the rules against a server, and ends every sandbox that it made, whatever happens. Returns what came of it, telling
 * of each result as it comes, and of how many sandboxes are still to be ended when that takes longer than a moment.
 */
export async function runSuite(
  options: Options,
  rules: Rule[],
  onResult: (result: Result) => void,
  onSlowEnd: (count: number) => void = () => {},
): Promise<Report> {
  const begun = performance.now();
  const suite = createSuite(options);
  const results: Result[] = [];
  let error: string | null = null;
  let left: string[] = [];
  try {
    await prepare(suite);
    for (const rule of rules) {
      const result = await resultOf(suite, rule);
      results.push(result);
      onResult(result);
    }
  } catch (problem) {
    error = reasonOf(problem, options.stop);
  } finally {
    left = suite.maker ? await endAll(suite.maker, onSlowEnd) : [];
  }
  const { made = [], refusals = [] } = suite.maker ?? {};
  return {
    ...{ url: options.url, seed: options.seed, results, error },
    requests: suite.client.requests(),
    seconds: secondsSince(begun),
    sandboxes: { made: made.length, refused: refusals, left },
  };
}

async function endAll({ made, endAll: work }: Maker, onSlow: (count: number) => void): Promise<string[]> {
  const tell = () => onSlow(made.filter(({ hasEnded }) => !hasEnded).length);
  const timer = setTimeout(tell, momentMilliseconds);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

/** Returns whether all that ran passed, something ran, and nothing was left behind. */
export function isPassed({ results, error, sandboxes }: Report): boolean {
  const ran = results.filter(({ outcome }) => outcome !== 'skip');
  return (
    error === null && sandboxes.left.length === 0 && ran.length > 0 && ran.every(({ outcome }) => outcome === 'pass')
  );
}

async function resultOf(suite: Suite, rule: Rule): Promise<Result> {
  const { id, title, source } = rule;
  const begun = performance.now();
  const end = (outcome: Outcome, rest: Partial<Result> = {}): Result => ({
    ...{ id, title, outcome, source: sourceText(source), seconds: secondsSince(begun) },
    ...rest,
  });
  try {
    await rule.run(suite);
    return end('pass');
  } catch (error) {
    if (error instanceof Skip || error instanceof Exhausted) return end('skip', { why: error.message });
    if (error instanceof Failure) return end('fail', { failure: failureOf(error) });
    if (error instanceof Unreachable)
      return end('fail', { failure: { request: null, expected: 'an answer', got: error.message } });
    if (suite.options.stop?.aborted) throw error;
    return end('fail', { failure: { request: null, expected: 'what the suite can judge', got: String(error) } });
  }
}

function failureOf({ exchange, expected, got }: Failure): Result['failure'] & object {
  const answer = answerLine(exchange);
  return { request: curlLine(exchange.sent), expected, got: got === '' ? answer : `${got}\n${answer}` };
}

function reasonOf(problem: unknown, stop: AbortSignal | undefined): string {
  if (stop?.aborted) return 'interrupted';
  const isExpected = [Unsuitable, Unreachable, Exhausted].some((kind) => problem instanceof kind);
  return isExpected ? (problem as Error).message : `the suite can't judge it: ${problem}`;
}

function secondsSince(begun: number): number {
  return Math.round(performance.now() - begun) / 1000;
}
