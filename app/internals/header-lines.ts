import { ServerResponse } from 'node:http';
import type { Express } from 'express';

/** The undocumented method of node:http that formats the head of a response. */
type WithHead = { _storeHeader: (statusLine: string, headers: unknown) => void };

const { _storeHeader: storeHeader } = ServerResponse.prototype as unknown as WithHead;

/**
 * Adds the lines that `linesFor` returns, each ending in CRLF, to the head of every response of the
 * application.
 */
export function addHeaderLines(app: Express, linesFor: (res: ServerResponse) => string): void {
  const response = app.response as unknown as WithHead;
  response._storeHeader = function (this: ServerResponse, statusLine, headers) {
    return storeHeader.call(this, statusLine + linesFor(this), headers);
  };
}
