import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import type { RawData, WebSocket } from 'ws';
import { findByApiKey } from '../../../../../db/accounts/principals.ts';
import { findSession } from '../../../../../db/sessions/sessions.ts';
import { admit, credentialReader, principalOf } from '../../../../auth.ts';
import type { Context } from '../../../../context.ts';
import { parseQuery } from '../../../../contract/query.ts';
import { closeWebSocket, maxReasonBytes, opensWebSocket } from '../../../../http/web-socket.ts';
import { openWebSocket } from '../../../../internals/accept-web-socket.ts';
import type { Agent } from '../../../../machines/agent/agent.ts';
import { AgentError } from '../../../../machines/agent/error.ts';
import { connectProcess, resizeTerminal, sendInput } from '../../../../machines/agent/processes.ts';
import { MachineError } from '../../../../machines/error.ts';
import { machineTargets } from '../target.ts';
import { noTerminal, terminalTag } from './terminals.ts';

/** How the WebSocket of a terminal is closed, in the codes that InstaVM's client knows. */
const codes = { ended: 1000, unauthenticated: 4401, failed: 4500, unreachable: 4502 };
/** A client that sends nothing for so long is gone: InstaVM's sends a ping every 20 s. */
const idleMilliseconds = 120_000;

const path = /^\/v1\/(sessions|vms)\/([^/?]+)\/pty\/([^/?]+)\/connect(?:\?|$)/;

/** Returns a function that reports whether a request opens the WebSocket of a terminal. */
export function terminalUpgrades({ machines }: Pick<Context, 'machines'>): (req: IncomingMessage) => boolean {
  return ({ url = '' }) => machines !== null && path.test(url);
}

/** Returns the handler for the WebSockets of terminals. It passes all other requests on. */
export function terminalSockets(context: Context): RequestHandler {
  const { store, now, limitRate } = context;
  const targets = machineTargets(context);
  const readCredential = credentialReader(context);
  const agentFor = async (req: Request, kind: string, id: string): Promise<Agent> => {
    if (kind === 'vms') return (await targets.ofVm(req, id)).agent();
    // Of the machine that runs: another one would not have the terminal.
    const session = await findSession(store.db, now(), principalOf(req).user.id, id);
    return (await targets.ofVm(req, session?.sandbox.id ?? id)).agent();
  };
  const open = async (req: Request, res: Response, kind: string, id: string, terminal: string): Promise<void> => {
    const { api_key: key } = parseQuery(req.url);
    const principal = (key && (await findByApiKey(store.db, now(), key))) || (await readCredential(req));
    if (!principal) {
      limitRate(req);
      closeWebSocket(req, res, codes.unauthenticated, 'The API key is not valid');
      return;
    }
    admit(req, principal, context);
    let agent: Agent;
    try {
      agent = await agentFor(req, kind, id);
    } catch (error) {
      closeWebSocket(req, res, codes.unreachable, reasonOf(error));
      return;
    }
    if (!res.closed) await join(await openWebSocket(req, res), req, agent, terminal);
  };
  return (req, res, next) => {
    const [, kind = '', id = '', terminal = ''] = path.exec(req.url) ?? [];
    if (kind === '' || !opensWebSocket(req)) return next();
    open(req, res, kind, id, decodeURIComponent(terminal)).catch(next);
  };
}

/** Joins a WebSocket and a terminal until either ends. A slow client holds up the terminal. */
async function join(webSocket: WebSocket, req: Request, agent: Agent, id: string): Promise<void> {
  const gone = new AbortController();
  req.socket.setTimeout(idleMilliseconds, () => webSocket.terminate());
  webSocket.on('error', () => webSocket.terminate());
  webSocket.on('close', () => gone.abort());
  const close = (code: number, reason: string) => webSocket.close(code, reason);
  receive(webSocket, agent, id, gone.signal);
  try {
    for await (const event of connectProcess(agent, { tag: terminalTag(id) }, gone.signal)) {
      if (event.type === 'exit') {
        webSocket.send(JSON.stringify({ type: 'exit', exit_code: event.exit.exitCode }));
        close(codes.ended, '');
      } else if (event.type !== 'start') await sent(webSocket, event.bytes);
    }
  } catch (error) {
    if (error instanceof AgentError && error.code === 'not_found') close(codes.failed, reasonOf(noTerminal(id)));
    else close(error instanceof MachineError ? codes.unreachable : codes.failed, reasonOf(error));
  }
}

/** Resolves once the connection has taken the bytes, or is closed. */
function sent(webSocket: WebSocket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => webSocket.send(bytes, { binary: true }, () => resolve()));
}

/** Gives the terminal what is typed, in order, and reads no faster than it takes that. */
function receive(webSocket: WebSocket, agent: Agent, id: string, signal: AbortSignal): void {
  let last = Promise.resolve();
  let waiting = 0;
  webSocket.on('message', (data: RawData, isBinary: boolean) => {
    waiting++;
    webSocket.pause();
    last = last
      .then(() => take(agent, id, data as Buffer, isBinary, signal))
      // The terminal or the machine has ended, which its output tells.
      .catch(() => {})
      .then(() => {
        if (--waiting === 0) webSocket.resume();
      });
  });
}

async function take(agent: Agent, id: string, data: Buffer, isBinary: boolean, signal: AbortSignal): Promise<void> {
  if (isBinary) return sendInput(agent, { tag: terminalTag(id) }, true, [data], signal);
  const { type, cols, rows } = JSON.parse(data.toString());
  const isSize = [cols, rows].every((count) => Number.isInteger(count) && count > 0 && count < 65_536);
  if (type === 'resize' && isSize)
    await resizeTerminal(agent, { tag: terminalTag(id) }, { columns: cols, rows }, signal);
}

/** Returns a reason that fits into a close frame. */
function reasonOf(error: unknown): string {
  const bytes = Buffer.from(error instanceof Error ? error.message : String(error));
  return bytes.length <= maxReasonBytes
    ? bytes.toString()
    : `${bytes.toString('utf8', 0, maxReasonBytes - 3).replace(/\ufffd$/, '')}...`;
}
