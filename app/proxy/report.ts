import { jsonLine } from '../terminal/printable.ts';
import { table } from '../terminal/terminal.ts';
import { excerpt } from './excerpt.ts';

export type Breach = {
  /** Number of the request, from 1. */
  request: number;
  side: 'request' | 'response';
  method: string;
  url: string;
  operation: string;
  /** Status of the response. */
  status?: number;
  problem: string;
  /** For a request: `loc` and `type` of the server's 422. */
  loc?: (string | number)[];
  type?: string;
};

const counts = {
  requests: 0,
  /** Messages checked with their bodies. */
  checkedRequests: 0,
  checkedResponses: 0,
  /** Responses checked without their bodies, which were not JSON or too large. */
  unchecked: 0,
  /** Requests without a connection to the target. */
  unreachable: 0,
  /** Requests that reached the target and got no valid answer. */
  unanswered: 0,
  /** Messages that broke off. */
  incomplete: 0,
};

export type Summary = typeof counts & {
  breaches: number;
  breachesByOperation: Record<string, { request: number; response: number }>;
  /** Number of requests by method and path, for those that the contract does not describe. */
  notDescribed: Record<string, number>;
};

export type Report = {
  /** Increments a counter and returns it. */
  count: (what: keyof typeof counts) => number;
  breach: (breach: Breach) => void;
  notDescribed: (method: string, path: string) => void;
  /** Reports a failure of the proxy itself. */
  failed: (error: unknown) => void;
  summary: () => Summary;
};

/** Limits the list of paths, because ids in them make many; the rest is counted together. */
const maxNotDescribed = 20;
const others = 'others';

type Out = { write: (text: string) => unknown };

/** Returns a report that counts, and writes each breach as a line, in JSON if `json` is set. */
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
      const target = `${method} ${path}`;
      const isKnown = Object.hasOwn(notDescribed, target) || Object.keys(notDescribed).length < maxNotDescribed;
      const name = isKnown ? target : others;
      notDescribed[name] = (notDescribed[name] ?? 0) + 1;
    },
    failed: (error) => void stderr.write(`sandpit: could not check a message: ${excerpt(String(error))}\n`),
    summary: () => ({
      ...tally,
      breaches: sum(Object.values(byOperation).flatMap(({ request, response }) => [request, response])),
      breachesByOperation: byOperation,
      notDescribed,
    }),
  };
}

function lineOf({ request, side, method, url, status, problem }: Breach): string {
  return `#${request} ${excerpt(`${method} ${url}`, 160)}  ${side}${status === undefined ? '' : ` ${status}`}  ${excerpt(problem)}\n`;
}

/** Returns the summary as tables. */
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
  const unknown = Object.entries(notDescribed).map(([target, count]) => [target, count]);
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
