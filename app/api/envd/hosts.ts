import type { Request, RequestHandler, Response } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import { type Contract, operationsOf } from '../../../spec/load.ts';
import type { Context } from '../../context.ts';
import { noMachines } from './records.ts';
import { noCode } from './routes.ts';

/** The ports of E2B's agent and of its code interpreter, whose requests get reasons. */
const agentPort = 49_983;
const knownPorts = new Set([agentPort, 49_999]);

type Target = { id: string | undefined; port: number };

/**
 * Returns the handler for the hosts below the configured domain: `<port>-<sandbox id>` is a port of
 * a sandbox, and `sandbox` is the port that the headers `E2b-Sandbox-Id` and `E2b-Sandbox-Port`
 * name. As E2B's proxy does, it answers 502 if the sandbox does not run or the port is not open.
 * Every other host, `api` included, is Sandpit's own.
 */
export function sandboxHosts(context: Context): RequestHandler {
  const { contract, store, now, limitRate, config, machines } = context;
  if (config.domain === undefined) return (_req, _res, next) => next();
  const suffix = `.${nameOf(config.domain)}`;
  const paths = agentPaths(contract);
  const whyClosed = machines ? 'Sandpit forwards no ports of sandboxes' : 'Sandpit runs no machines, so none is';
  const refuseUnknown = (res: Response, port: number) => {
    if (machines && port === agentPort) refuse(res, 404, { code: 404, message: 'Not Found' });
    else refuse(res, 501, { code: 501, message: machines ? noCode : noMachines });
  };
  return async (req, res, next) => {
    const host = nameOf(req.headers.host ?? '');
    const target = host.endsWith(suffix) ? targetOf(host.slice(0, -suffix.length), req) : null;
    if (!target) return next();
    const { id, port } = target;
    if (id === undefined) return refuse(res, 400, { code: 400, message: 'Send E2b-Sandbox-Id and E2b-Sandbox-Port' });
    const isRunning = (await findAnyonesSandbox(store.db, now(), id))?.status === 'active';
    if (isRunning && knownPorts.has(port) && paths.has(firstSegment(req.path))) {
      req.headers['e2b-sandbox-id'] = id;
      return next();
    }
    limitRate(req);
    if (!isRunning) refuse(res, 502, { sandboxId: id, message: 'The sandbox was not found', code: 502 });
    else if (knownPorts.has(port)) refuseUnknown(res, port);
    else {
      const message = `The sandbox is running but port is not open: ${whyClosed}`;
      refuse(res, 502, { sandboxId: id, message, port, code: 502 });
    }
  };
}

/** Returns an authority's host in lower case, without its port. */
function nameOf(authority: string): string {
  return authority.toLowerCase().replace(/:\d+$/, '');
}

/** Returns the port that a request is for, without an id if it names none; null for other hosts. */
function targetOf(label: string, req: Request): Target | null {
  const [, port, id] = /^(\d{1,5})-([a-z0-9-]+)$/.exec(label) ?? [];
  if (port !== undefined && id !== undefined) return { id, port: Number(port) };
  if (label !== 'sandbox') return null;
  const at = req.get('e2b-sandbox-port');
  return { id: at === undefined ? undefined : req.get('e2b-sandbox-id'), port: Number(at) };
}

/** Returns the first segments of the paths that the contract describes of a sandbox itself. */
function agentPaths(contract: Contract): Set<string> {
  const served = operationsOf(contract).filter(({ operation }) => operation.tags.includes('e2b-envd'));
  const notOffered = contract['x-not-offered-paths'].filter(({ dialect, security }) => dialect === 'e2b' && security);
  const paths = [...served.map(({ path }) => path), ...notOffered.flatMap((entry) => entry.paths), '/health'];
  return new Set(paths.map(firstSegment));
}

function firstSegment(path: string): string {
  return path.split('/')[1] ?? '';
}

function refuse(res: Response, status: number, body: object): void {
  res.status(status).set('Should-Retry', 'false').json(body);
}
