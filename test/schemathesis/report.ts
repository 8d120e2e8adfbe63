import { readFileSync } from 'node:fs';

/** The result of a run of Schemathesis. */
export type Tally = {
  operations: number;
  /** Operations with an unexplained finding. */
  failed: number;
  /** Whether Schemathesis itself failed, so that the run is incomplete. */
  isBroken: boolean;
  cases: number;
  /** Explained findings, by reason. */
  explained: Record<string, number>;
};

type Check = { status: string };
type Recorder = { label: string; interactions?: Record<string, unknown>; checks?: Record<string, Check[]> };
type Scenario = { status: string; recorder: Recorder };

/** Reads the events of Schemathesis, one JSON document a line. `code` is the run's exit code. */
export function readReport(report: string, explained: string, code: number): Tally {
  const scenarios = readFileSync(report, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { ScenarioFinished?: Scenario }).ScenarioFinished)
    .filter((scenario) => scenario !== undefined);
  const labels = new Set(scenarios.map(({ recorder }) => recorder.label));
  const wrong = new Set(scenarios.filter(isWrong).map(({ recorder }) => recorder.label));
  const cases = scenarios.reduce((sum, { recorder }) => sum + Object.keys(recorder.interactions ?? {}).length, 0);
  const isBroken = scenarios.some(({ status }) => status === 'error') || (code !== 0 && wrong.size === 0);
  const reasons = JSON.parse(readFileSync(explained, 'utf8'));
  return { operations: labels.size, failed: wrong.size, isBroken, cases, explained: reasons };
}

function isWrong({ recorder }: Scenario): boolean {
  const checks = Object.values(recorder.checks ?? {}).flat();
  return checks.some((check) => check.status === 'failure');
}
