import type { IncomingMessage } from 'node:http';
import { parse as parseContentType } from 'content-type';
import type { Contract, Operation } from '../../spec/load.ts';
import { responseChecker } from '../../spec/responses.ts';
import { isPresented } from '../auth.ts';
import { maxBodyBytes } from '../contract/body/bytes.ts';
import { collectBody, decodeBody } from './bodies.ts';
import { originForm } from './forward.ts';
import type { Breach, Report } from './report.ts';
import { type Problem, requestChecker } from './requests.ts';

/** How much of an answer's body is kept for checking. */
const maxAnswerBytes = 8 * 2 ** 20;

/** The request that a message belongs to. */
export type Subject = Pick<Breach, 'request' | 'method' | 'url' | 'operation'> & { path: string };

/** Returns a function that checks a request while its body streams by, and reports breaches. */
export function requestJudge(contract: Contract, report: Report) {
  const check = requestChecker(contract);
  return async (req: IncomingMessage, { path: _, ...subject }: Subject, operation: Operation): Promise<void> => {
    const reportBreach = (breach: Pick<Breach, 'problem' | 'loc' | 'type'>) =>
      report.breach({ ...subject, side: 'request', ...breach });
    const { headers, url = '' } = req;
    if (needsCredential(contract, operation) && !isPresented({ headers })) {
      reportBreach({ problem: 'no credential: X-API-Key or Authorization: Bearer' });
    }
    // One byte beyond the limit proves that the body is too large.
    const body = await collectBody(req, operation.requestBody ? maxBodyBytes + 1 : 0);
    if (body === null) return void report.count('incomplete');
    report.count('checkedRequests');
    const problems = await check({ method: subject.method, url: originForm(url), headers, body: body.bytes });
    for (const problem of problems) reportBreach(breachOf(problem));
  };
}

/** Returns a function that checks an answer while its body streams by, and reports breaches. */
export function answerJudge(contract: Contract, report: Report) {
  const check = responseChecker(contract);
  return async (answer: IncomingMessage, { path, ...subject }: Subject): Promise<void> => {
    const { statusCode: status = 0, headers } = answer;
    const judge = (body: string | null) => {
      const contentType = headers['content-type'] ?? '';
      const retryAfter = headers['retry-after'] ?? null;
      const problem = check({ method: subject.method, path, status, contentType, retryAfter, body });
      if (problem) report.breach({ ...subject, side: 'response', status, problem });
      report.count(body === null ? 'unchecked' : 'checkedResponses');
    };
    const isChecked = hasCheckedBody(answer);
    // Judged at once, because a stream may never end.
    if (!isChecked) judge(null);
    const body = await collectBody(answer, isChecked ? maxAnswerBytes : 0);
    if (body === null) return void report.count('incomplete');
    if (!isChecked) return;
    const plain = body.isTruncated ? null : await decodeBody(body.bytes, headers['content-encoding'], maxAnswerBytes);
    if (plain instanceof Error) report.breach({ ...subject, side: 'response', status, problem: plain.message });
    else judge(plain?.toString() ?? null);
  };
}

/**
 * An operation's own `security` overrides the contract's; an empty requirement needs no credential.
 */
function needsCredential(contract: Contract, { security = contract.security ?? [] }: Operation): boolean {
  return security.some((requirement) => Object.keys(requirement).length > 0);
}

/** Whether the body is checked: JSON is, and a body that must be empty. */
function hasCheckedBody({ headers, statusCode }: IncomingMessage): boolean {
  const { type } = parseContentType(headers['content-type'] ?? '', { parameters: false });
  return type === 'application/json' || type === '' || headers['content-length'] === '0' || statusCode === 204;
}

function breachOf({ loc, type, msg, input }: Problem): Pick<Breach, 'problem' | 'loc' | 'type'> {
  const place = loc.length > 0 ? `${loc.join('.')}: ` : '';
  return { problem: `${place}${msg}${input === undefined ? '' : `, not '${input}'`}`, loc, type };
}
