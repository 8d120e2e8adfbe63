import { IncomingMessage, ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import express, { type Request } from 'express';
import { isObject } from '../../db/json/json.ts';
import { metadataText, pairsOf } from '../../db/metadata.ts';
import type { Contract } from '../../spec/load.ts';
import { filterProblems } from '../api/instavm/filter.ts';
import { queryParser } from '../contract/query.ts';
import { requestValidator } from '../contract/validator.ts';
import { problemsIn, toHttpError } from '../error-handler.ts';
import type { Problem as ContractProblem } from '../errors.ts';
import { excerpt } from './excerpt.ts';

/** A request; its body may be truncated beyond the largest that the contract allows. */
export type ReceivedRequest = { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer };

/**
 * What is wrong with a request. `loc` is empty for the whole request; `input` is set if it may be
 * shown.
 */
export type Problem = { loc: (string | number)[]; type: string; msg: string; input?: string };

const filteredList = '/v1/sessions/sandboxes';
const maxShownInput = 60;

/** Messages for refusals that have none beyond their status. */
const messages: Record<number, string> = {
  404: "The path can't be decoded",
  415: 'The operation takes no body of this Content-Type',
};

/**
 * Returns a function that resolves to the problems of a request, in the words of the server's own
 * refusal: the request runs through the server's validation. Credentials are not checked.
 */
export function requestChecker(contract: Contract): (received: ReceivedRequest) => Promise<Problem[]> {
  const app = express();
  app.set('query parser', queryParser(contract));
  app.use(requestValidator(contract));
  app.use(limitMetadata);
  return async (received) => {
    const { req, error } = await validate(app, received);
    const isFiltered = received.method === 'GET' && received.url.split('?')[0] === filteredList;
    const inFilter = isFiltered ? filterProblems(received.url) : [];
    if (!error) return inFilter.map(problemOf);
    const problems = problemsIn(contract, error, req);
    if (problems) return [...inFilter, ...problems].map(problemOf);
    const { status, message } = toHttpError(error);
    if (status === 500) throw error;
    return [{ loc: [], type: `http_${status}`, msg: messages[status] ?? message }];
  };
}

/** Throws for metadata that is too large, a limit that the schema does not express. */
const limitMetadata: express.RequestHandler = (req, _res, next) => {
  const { metadata } = (req.body ?? {}) as { metadata?: unknown };
  if (isObject(metadata)) {
    metadataText(metadata);
    pairsOf(metadata);
  }
  next();
};

/**
 * Runs a copy of the request through the app. Resolves to the parsed copy and the app's error, if
 * any.
 */
function validate(app: express.Express, received: ReceivedRequest): Promise<{ req: Request; error: unknown }> {
  const { method, url, headers, body } = received;
  const req = new IncomingMessage(new Duplex({ read() {} }) as never) as Request;
  Object.assign(req, { method, url, headers: { ...headers }, complete: true });
  req.push(body);
  req.push(null);
  return new Promise((resolve) => {
    app(req, new ServerResponse(req) as never, (error: unknown) => resolve({ req, error }));
  });
}

/** Shows no values of a body, which may hold keys and passwords. */
function problemOf({ loc, type, msg, input }: ContractProblem): Problem {
  const isShown = (loc[0] === 'query' || loc[0] === 'path') && (typeof input === 'string' || typeof input === 'number');
  return { loc, type, msg, ...(isShown && { input: excerpt(String(input), maxShownInput) }) };
}
