import { jsonLine } from '../terminal/printable.ts';
import { table } from '../terminal/terminal.ts';
import { excerpt } from './excerpt.ts';

export type Breach = {
  /** Which request it was, counted from 1. */
  request: number;
  side: 'request' | 'response';
  method: string;
  url: string;
  operation: string;
  /** of the response */
  status?: number;
  problem: string;
  /** Of a request that the server would answer 422: its `loc` and `type` there. */
  loc?: (string | number)[];
  type?: string;
};

const counts = {
  requests: 0,
  /** Judged whole, the body included. */
  checkedRequests: 0,
  checkedResponses: 0,
  /** Responses of which only the head was judged: no JSON, or too much of it. */
  unchecked: 0,
  /** Requests for which there was no connection to the target. */
  unreachable: 0,
  /** Requests that the target took and didn't answer. */
  unanswered: 0,
  /** Messages that broke off. */
  incomplete: 0,
};

export type Summary = typeof counts & {
  breaches: number;
  breachesByOperation: Record<string, { request: number; response: number }>;
  /** How often what the contract doesn't describe was asked for. */
  notDescribed: Record<string, number>;
};

export type Report = {
  /** Adds one; returns how many there are. */
  count: (what: keyof typeof counts) => number;
  breach: (breach: Breach) => void;
  notDescribed: (method: string, path: string) => void;
  /** Tells of a failure of the proxy itself. */
  failed: (error: unknown) => void;
  summary: () => Summary;
};

/** Paths with ids in them may be many. */
const maxNotDescribed = 20;
const others = 'others';

type Out = { write: (text: string) => unknown };

/** Returns what counts, and writes every breach as a line, of JSON if so wanted. */
export function createReport(stdout: Out, stderr: Out, { json = false } = {}): Report {
  const tally = { ...counts };
  const byOperation: Summary['breachesByOperation'] = {};
  const notDescribed: Record<string, number> = {};
  return {
    count: (what) => ++tally[what],
    breach: (breach) => {
      byOperation[breach.operation] ??= { request: 0, response: 0 };
      (byOperation[breach.operation] as { request: number; response: number })[breach.side]++;
      stdout.write(json ? jsonLine({ kind: 'breach', ...breach }) : lineOf(breach));
    },
    notDescribed: (method, path) => {
      const asked = `${method} ${path}`;
      const isKnown = Object.hasOwn(notDescribed, asked) || Object.keys(notDescribed).length < maxNotDescribed;
      const name = isKnown ? asked : others;
      notDescribed[name] = (notDescribed[name] ?? 0) + 1;
    },
    failed: (error) => void stderr.write(`sandpit: not judged: ${excerpt(String(error))}\n`),
    summary: () => ({
      ...tally,
      breaches: sum(Object.values(byOperation).flatMap(({ request, response }) => [request, response])),
      breachesByOperation: byOperation,
      notDescribed,
    }),
  };
}

function lineOf({ request, side, method, url, status, problem }: Breach): string {
  const asked = excerpt(`${method} ${url}`, 160);
  return `#${request} ${asked}  ${side}${status === undefined ? '' : ` ${status}`}  ${excerpt(problem)}\n`;
}

/** Returns the summary for a person. */
export function summaryText(summary: Summary): string {
  const { breachesByOperation, notDescribed } = summary;
  const rows: [string, number][] = [
    ['requests', summary.requests],
    ['requests checked', summary.checkedRequests],
    ['responses checked', summary.checkedResponses],
    ['responses whose body was not checked', summary.unchecked],
    ['not described by the contract', sum(Object.values(notDescribed))],
    ['target unreachable', summary.unreachable],
    ['target gave no answer', summary.unanswered],
    ['broken off', summary.incomplete],
    ['breaches', summary.breaches],
  ];
  const broken = Object.entries(breachesByOperation).map(([name, { request, response }]) => [name, request, response]);
  const unknown = Object.entries(notDescribed).map(([asked, count]) => [asked, count]);
  return [
    table(['', 'count'], rows),
    broken.length > 0 ? table(['breaches of', 'requests', 'responses'], broken) : '',
    unknown.length > 0 ? table(['not described', 'count'], unknown) : '',
  ]
    .filter(Boolean)
    .join('\n');
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
