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
import type { Problem } from '../errors.ts';
import { excerpt } from './excerpt.ts';

/** A request as it came, and as much of its body as is needed to judge it. */
export type Asked = { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer };

/** What a request does wrong: where, unless it is about the whole, what, and the value if that may be shown. */
export type Fault = { loc: (string | number)[]; type: string; msg: string; input?: string };

const filteredList = '/v1/sessions/sandboxes';
const maxShownInput = 60;

/** Of answers that say nothing but their status. */
const plainWords: Record<number, string> = {
  404: "The path can't be decoded",
  415: 'The operation takes no body of this Content-Type',
};

/**
 * Returns a function that resolves to what a request to an operation of the contract does wrong, in the words in which
 * the server would refuse it: it goes through the server's own validation. Who asks is no part of that.
 */
export function requestChecker(contract: Contract): (asked: Asked) => Promise<Fault[]> {
  const app = express();
  app.set('query parser', queryParser(contract));
  app.use(requestValidator(contract));
  app.use(judgeMetadata);
  return async (asked) => {
    const { req, error } = await passThrough(app, asked);
    const isFiltered = asked.method === 'GET' && asked.url.split('?')[0] === filteredList;
    const faults = isFiltered ? filterProblems(asked.url) : [];
    if (!error) return faults.map(faultOf);
    const problems = problemsIn(contract, error, req);
    if (problems) return [...faults, ...problems].map(faultOf);
    const { status, message } = toHttpError(error);
    if (status === 500) throw error;
    return [{ loc: [], type: `http_${status}`, msg: plainWords[status] ?? message }];
  };
}

/** What the schema doesn't say of metadata: how much of it there may be. */
const judgeMetadata: express.RequestHandler = (req, _res, next) => {
  const { metadata } = (req.body ?? {}) as { metadata?: unknown };
  if (isObject(metadata)) {
    metadataText(metadata);
    pairsOf(metadata);
  }
  next();
};

/** Resolves to what the application made of a copy of the request, and to the error it ended in, if any. */
function passThrough(app: express.Express, asked: Asked): Promise<{ req: Request; error: unknown }> {
  const { method, url, headers, body } = asked;
  const req = new IncomingMessage(new Duplex({ read() {} }) as never) as Request;
  Object.assign(req, { method, url, headers: { ...headers }, complete: true });
  req.push(body);
  req.push(null);
  return new Promise((resolve) => {
    app(req, new ServerResponse(req) as never, (error: unknown) => resolve({ req, error }));
  });
}

/** Of a body nothing is shown: it may hold keys and passwords. */
function faultOf({ loc, type, msg, input }: Problem): Fault {
  const isShown = (loc[0] === 'query' || loc[0] === 'path') && (typeof input === 'string' || typeof input === 'number');
  return { loc, type, msg, ...(isShown && { input: excerpt(String(input), maxShownInput) }) };
}
