export type Outcome = 'pass' | 'fail' | 'skip';

/** The result of one rule. */
export type Result = {
  id: string;
  title: string;
  outcome: Outcome;
  source: string;
  seconds: number;
  /** Why the rule was skipped. */
  why?: string;
  failure?: { request: string | null; expected: string; got: string };
};

export type Report = {
  url: string;
  seed: number;
  results: Result[];
  requests: number;
  seconds: number;
  /** Why the run did not start, or ended early. */
  error: string | null;
  /** How many sandboxes were made, why some were refused, and which could not be ended. */
  sandboxes: { made: number; refused: string[]; left: string[] };
};

/** Whether at least one rule ran, every rule that ran passed, and every sandbox was ended. */
export function isPassed({ results, error, sandboxes }: Report): boolean {
  const ran = results.filter(({ outcome }) => outcome !== 'skip');
  return (
    error === null && sandboxes.left.length === 0 && ran.length > 0 && ran.every(({ outcome }) => outcome === 'pass')
  );
}
