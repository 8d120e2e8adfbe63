import type { IncomingMessage } from 'node:http';
import { type Contract, type Operation, parametersOf } from '../../spec/load.ts';
import { operationFinder } from '../../spec/responses.ts';
import { excerpt } from './excerpt.ts';
import { originForm, type Passage } from './forward.ts';
import { answerJudge, requestJudge } from './judge.ts';
import type { Report } from './report.ts';

export type Watcher = {
  /** Judges a request and, through what it returns, the answer; neither waits for it. */
  watch: (req: IncomingMessage) => Passage;
  /** Resolves once everything that has come is judged. */
  settled: () => Promise<void>;
};

/** Returns what holds the traffic against the contract and tells the report. */
export function createWatcher(contract: Contract, report: Report): Watcher {
  const find = operationFinder(contract);
  const judgeRequest = requestJudge(contract, report);
  const judgeAnswer = answerJudge(contract, report);
  const pending = new Set<Promise<void>>();
  const follow = (work: Promise<void>) => {
    const judged = work.catch(report.failed).finally(() => pending.delete(judged));
    pending.add(judged);
  };

  const watch = (req: IncomingMessage): Passage => {
    const { method = '' } = req;
    const url = originForm(req.url ?? '');
    const [path = ''] = url.split('?');
    const request = report.count('requests');
    const unreachable = () => void report.count('unreachable');
    const unanswered = () => void report.count('unanswered');
    const operation = find(method, path)?.operation;
    if (!operation) {
      report.notDescribed(method, excerpt(path, 100));
      return { answered: () => {}, unreachable, unanswered };
    }
    const shown = shownUrl(contract, operation, url);
    const subject = { request, method, url: shown, path, operation: operation.operationId };
    follow(judgeRequest(req, subject, operation));
    return { answered: (answer) => follow(judgeAnswer(answer, subject)), unreachable, unanswered };
  };
  const settled = async () => {
    while (pending.size > 0) await Promise.all(pending);
  };
  return { watch, settled };
}

/** Only values of the operation's own parameters are shown: others may be a secret. */
function shownUrl(contract: Contract, operation: Operation, url: string): string {
  const names = parametersOf(contract, operation).flatMap(({ name, in: place }) => (place === 'query' ? [name] : []));
  const [path = '', query] = url.split(/\?(.*)/s);
  const parts = query?.split('&').map((part) => {
    const [name = ''] = part.split('=');
    return names.includes(name) ? part : `${name}=...`;
  });
  return parts ? `${path}?${parts.join('&')}` : path;
}
