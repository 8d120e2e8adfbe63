import type { IncomingMessage } from 'node:http';
import { parse as parseContentType } from 'content-type';
import type { Contract, Operation } from '../../spec/load.ts';
import { responseChecker } from '../../spec/responses.ts';
import { isPresented } from '../auth.ts';
import { maxBodyBytes } from '../contract/body/bytes.ts';
import { collected, decoded } from './bodies.ts';
import { originForm } from './forward.ts';
import type { Breach, Report } from './report.ts';
import { type Fault, requestChecker } from './requests.ts';

/** What is kept of a response in order to judge it. */
const maxAnswerBytes = 8 * 2 ** 20;

/** What a message belongs to. */
export type Subject = Pick<Breach, 'request' | 'method' | 'url' | 'operation'> & { path: string };

/** Returns what holds a request to an operation against the contract, as its body passes, and tells the report. */
export function requestJudge(contract: Contract, report: Report) {
  const faultsIn = requestChecker(contract);
  return async (req: IncomingMessage, { path: _, ...subject }: Subject, operation: Operation): Promise<void> => {
    const tell = (told: Pick<Breach, 'problem' | 'loc' | 'type'>) =>
      report.breach({ ...subject, side: 'request', ...told });
    const { headers, url = '' } = req;
    if (needsCredential(contract, operation) && !isPresented({ headers })) {
      tell({ problem: 'no credential: X-API-Key or Authorization: Bearer' });
    }
    // One byte more than is allowed is enough to know.
    const body = await collected(req, operation.requestBody ? maxBodyBytes + 1 : 0);
    if (body === null) return void report.count('incomplete');
    report.count('checkedRequests');
    const faults = await faultsIn({ method: subject.method, url: originForm(url), headers, body: body.bytes });
    for (const fault of faults) tell(inWords(fault));
  };
}

/** Returns what holds an answer against the contract, as its body passes, and tells the report. */
export function answerJudge(contract: Contract, report: Report) {
  const breachIn = responseChecker(contract);
  return async (answer: IncomingMessage, { path, ...subject }: Subject): Promise<void> => {
    const { statusCode: status = 0, headers } = answer;
    const judge = (body: string | null) => {
      const contentType = headers['content-type'] ?? '';
      const retryAfter = headers['retry-after'] ?? null;
      const problem = breachIn({ method: subject.method, path, status, contentType, retryAfter, body });
      if (problem) report.breach({ ...subject, side: 'response', status, problem });
      report.count(body === null ? 'unchecked' : 'checkedResponses');
    };
    const isRead = isWorthReading(answer);
    // A stream may never end.
    if (!isRead) judge(null);
    const body = await collected(answer, isRead ? maxAnswerBytes : 0);
    if (body === null) return void report.count('incomplete');
    if (!isRead) return;
    const plain = body.isCut ? null : await decoded(body.bytes, headers['content-encoding'], maxAnswerBytes);
    if (plain instanceof Error) report.breach({ ...subject, side: 'response', status, problem: plain.message });
    else judge(plain?.toString() ?? null);
  };
}

/** An operation's own `security` goes before the contract's; an empty one asks for nothing. */
function needsCredential(contract: Contract, { security = contract.security ?? [] }: Operation): boolean {
  return security.some((requirement) => Object.keys(requirement).length > 0);
}

/** JSON is, and what should be nothing. */
function isWorthReading({ headers, statusCode }: IncomingMessage): boolean {
  const { type } = parseContentType(headers['content-type'] ?? '', { parameters: false });
  return type === 'application/json' || type === '' || headers['content-length'] === '0' || statusCode === 204;
}

function inWords({ loc, type, msg, input }: Fault): Pick<Breach, 'problem' | 'loc' | 'type'> {
  const place = loc.length > 0 ? `${loc.join('.')}: ` : '';
  return { problem: `${place}${msg}${input === undefined ? '' : `, not '${input}'`}`, loc, type };
}
