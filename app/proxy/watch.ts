import type { IncomingMessage } from 'node:http';
import { type Contract, type Operation, parametersOf } from '../../spec/load.ts';
import { operationFinder } from '../../spec/responses.ts';
import { excerpt } from './excerpt.ts';
import { type Observer, originForm } from './forward.ts';
import { answerJudge, requestJudge } from './judge.ts';
import type { Report } from './report.ts';

export type Watcher = {
  /** Checks a request and, through the returned observer, its answer; delays neither. */
  watch: (req: IncomingMessage) => Observer;
  /** Resolves once all messages so far are checked. */
  settled: () => Promise<void>;
};

/** Returns a watcher that checks traffic against the contract and reports breaches. */
export function createWatcher(contract: Contract, report: Report): Watcher {
  const find = operationFinder(contract);
  const judgeRequest = requestJudge(contract, report);
  const judgeAnswer = answerJudge(contract, report);
  const pending = new Set<Promise<void>>();
  const track = (work: Promise<void>) => {
    const tracked = work.catch(report.failed).finally(() => pending.delete(tracked));
    pending.add(tracked);
  };

  const watch = (req: IncomingMessage): Observer => {
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
    track(judgeRequest(req, subject, operation));
    return { answered: (answer) => track(judgeAnswer(answer, subject)), unreachable, unanswered };
  };
  const settled = async () => {
    while (pending.size > 0) await Promise.all(pending);
  };
  return { watch, settled };
}

/** Hides the values of undocumented parameters, which may be secrets. */
function shownUrl(contract: Contract, operation: Operation, url: string): string {
  const names = parametersOf(contract, operation).flatMap(({ name, in: place }) => (place === 'query' ? [name] : []));
  const [path = '', query] = url.split(/\?(.*)/s);
  const parts = query?.split('&').map((part) => {
    const [name = ''] = part.split('=');
    return names.includes(name) ? part : `${name}=...`;
  });
  return parts ? `${path}?${parts.join('&')}` : path;
}
