import { Failure, Skip } from './failure.ts';
import { Exhausted } from './http/budget.ts';
import { Unreachable } from './http/client.ts';
import { answerLine, curlLine } from './http/exchange.ts';
import { prepare, Unsuitable } from './prepare.ts';
import type { Outcome, Report, Result } from './report/report.ts';
import { type Rule, sourceText } from './rule.ts';
import type { Maker } from './sandboxes/maker.ts';
import { createSuite, type Options, type Suite } from './suite.ts';

/** After this delay the user is told that sandboxes are still being ended. */
const slowMilliseconds = 1000;

/**
 * Runs the rules against a server, then ends every sandbox that it made, even after an error. Calls
 * `onResult` after each rule, and `onSlowEnd` with the number of running sandboxes if ending them
 * takes long.
 */
export async function runSuite(
  options: Options,
  rules: Rule[],
  onResult: (result: Result) => void,
  onSlowEnd: (count: number) => void = () => {},
): Promise<Report> {
  const begin = performance.now();
  const suite = createSuite(options);
  const results: Result[] = [];
  let error: string | null = null;
  let left: string[] = [];
  try {
    await prepare(suite);
    for (const rule of rules) {
      const result = await runRule(suite, rule);
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
    url: options.url,
    seed: options.seed,
    results,
    error,
    requests: suite.client.requests(),
    seconds: secondsSince(begin),
    sandboxes: { made: made.length, refused: refusals, left },
  };
}

async function endAll(maker: Maker, onSlow: (count: number) => void): Promise<string[]> {
  const countRunning = () => maker.made.filter(({ hasEnded }) => !hasEnded).length;
  const timer = setTimeout(() => onSlow(countRunning()), slowMilliseconds);
  try {
    return await maker.endAll();
  } finally {
    clearTimeout(timer);
  }
}

async function runRule(suite: Suite, rule: Rule): Promise<Result> {
  const { id, title, source } = rule;
  const begin = performance.now();
  const end = (outcome: Outcome, rest: Partial<Result> = {}): Result => ({
    id,
    title,
    outcome,
    source: sourceText(source),
    seconds: secondsSince(begin),
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
    return end('fail', { failure: { request: null, expected: 'an answer that can be checked', got: String(error) } });
  }
}

function failureOf({ exchange, expected, got }: Failure): Result['failure'] & object {
  const answer = answerLine(exchange);
  return { request: curlLine(exchange.sent), expected, got: got === '' ? answer : `${got}\n${answer}` };
}

function reasonOf(problem: unknown, stop: AbortSignal | undefined): string {
  if (stop?.aborted) return 'interrupted';
  const isExpected = [Unsuitable, Unreachable, Exhausted].some((kind) => problem instanceof kind);
  return isExpected ? (problem as Error).message : `its answer can't be checked: ${problem}`;
}

function secondsSince(begin: number): number {
  return Math.round(performance.now() - begin) / 1000;
}
