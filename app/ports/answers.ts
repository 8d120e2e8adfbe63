import type { Request, Response } from 'express';
import { HttpError } from '../errors.ts';
import { AgentError } from '../machines/agent/error.ts';
import { machineFailure } from '../machines/running.ts';
import type { PortTarget } from './target.ts';

/** An answer in place of the program's, in the words of E2B's proxy where it has some. */
export class PortError extends HttpError {
  override name = 'PortError';
  /** whether the body names the port, as E2B's does for one that is closed */
  readonly isOfPort: boolean;

  constructor(status: number, message: string, isOfPort = false) {
    super(status, message);
    this.isOfPort = isOfPort;
  }
}

const words = {
  closed: 'The sandbox is running but port is not open',
  slow: 'The program at the port does not accept connections',
  silent: 'The program at the port did not answer in time',
  broken: 'The program at the port broke the connection off before it answered',
  garbled: 'The program at the port did not answer in HTTP',
  insecure: 'The program at the port does not speak TLS',
};

export const closedPort = new PortError(502, words.closed, true);
export const silentPort = new PortError(504, words.silent, true);
export const garbledPort = new PortError(502, words.garbled, true);

/** Returns the answer to a request that could not be sent on, or was not answered. */
export function failureAt({ id }: PortTarget, error: unknown): HttpError {
  if (error instanceof AgentError && error.code === 'failed_precondition') return closedPort;
  if (error instanceof AgentError && error.code === 'resource_exhausted') return new PortError(429, error.message);
  if (error instanceof DOMException && error.name === 'TimeoutError') return new PortError(504, words.slow, true);
  const found = machineFailure(id, error);
  if (found instanceof HttpError) return found;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code.startsWith('HPE_') || code === 'ERR_INVALID_CHAR') return garbledPort;
  if (code.startsWith('ERR_SSL_')) return new PortError(502, words.insecure, true);
  return new PortError(502, words.broken, true);
}

/**
 * Answers that a request can't go on to a port: browsers get a page, every other client what E2B's
 * proxy sends. Pages of any origin may read it, because the program's own answers are not here to
 * say so. Cuts an answer off that has begun.
 */
export function refuse(req: Request, res: Response, { id, port }: PortTarget, error: HttpError): void {
  if (res.headersSent) return void res.destroy();
  const { status: code, message, headers } = error;
  const isOfPort = error instanceof PortError && error.isOfPort;
  const body = { sandboxId: id, message, ...(isOfPort && { port }), code };
  res.status(code).set(headers).set('Access-Control-Allow-Origin', '*');
  if (code >= 500 || code === 429) res.set('Should-Retry', String(code === 429 || code === 503));
  // What the client still sends is not wanted.
  if (!req.complete) res.set('Connection', 'close');
  if (!/\btext\/html\b/.test(req.headers.accept ?? '')) return void res.json(body);
  res.type('html').send(page(`${code}`, message, isOfPort ? `Port ${port} of sandbox ${id}` : `Sandbox ${id}`));
}

function page(title: string, message: string, place: string): string {
  const [safeMessage, safePlace] = [message, place].map(escaped);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title} ${safeMessage}</title>
<h1>${safeMessage}</h1>
<p>${safePlace}
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
