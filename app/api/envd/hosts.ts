import type { Request, RequestHandler, Response } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import { type Contract, operationsOf } from '../../../spec/load.ts';
import type { Context, Machines } from '../../context.ts';
import { portForwarder } from '../../ports/ports.ts';
import { forwardShares } from '../../ports/shares.ts';
import { agentPort, codePort, portFinder } from '../../ports/target.ts';
import { codePrefix, reachedByPort } from './code/port.ts';
import { noMachines } from './records.ts';

const knownPorts = new Set([agentPort, codePort]);

/**
 * Returns the handler for requests that name a port of a sandbox (`portFinder`) and were not
 * forwarded to it: the agent's port, and every port with records only. As E2B's proxy does, it
 * answers 502 if the sandbox does not run or the port is not open. Every other host, `api`
 * included, is Sandpit's own.
 */
export function sandboxHosts(context: Context): RequestHandler {
  const { contract, store, now, limitRate, machines } = context;
  const find = portFinder(context);
  const paths = agentPaths(contract);
  const refuseUnknown = (res: Response) => {
    if (machines) refuse(res, 404, { code: 404, message: 'Not Found' });
    else refuse(res, 501, { code: 501, message: noMachines });
  };
  return async (req, res, next) => {
    const target = find(req.headers);
    if (target === null) return next();
    if (typeof target === 'string') return refuse(res, 400, { code: 400, message: target });
    const { id, port } = target;
    if (port === codePort) addPrefix(req);
    const isServed = knownPorts.has(port) && paths.has(firstSegment(req.path));
    const isRunning = (await findAnyonesSandbox(store.db, now(), id))?.status === 'active';
    // With machines, the routes know which paused sandboxes are resumed.
    if (isServed && (isRunning || machines)) {
      req.headers['e2b-sandbox-id'] = id;
      return next();
    }
    limitRate(req);
    if (!isRunning) refuse(res, 502, { sandboxId: id, message: 'The sandbox was not found', code: 502 });
    else if (knownPorts.has(port)) refuseUnknown(res);
    else {
      const message = 'The sandbox is running but port is not open: Sandpit runs no machines, so none is';
      refuse(res, 502, { sandboxId: id, message, port, code: 502 });
    }
  };
}

/**
 * Returns the handler that forwards requests to ports of sandboxes, without the limits and headers
 * of Sandpit's own operations. `admit` bounds the requests whose sandbox is being found.
 */
export function forwardPorts(context: Context, machines: Machines, admit: RequestHandler): RequestHandler {
  const find = portFinder(context);
  const forward = portForwarder(context, machines);
  const forwardShare = forwardShares(context, forward, admit);
  return (req, res, next) => {
    const target = find(req.headers);
    if (target === null && forwardShare(req, res)) return;
    if (target === null || typeof target === 'string' || target.port === agentPort) return next();
    // The program of an image comes first.
    const onClosed = () => {
      reachedByPort.add(req);
      next();
    };
    const options = target.port === codePort ? { onClosed } : {};
    admit(req, res, (error) => (error ? next(error) : void forward(req, res, target, options)));
  };
}

/** Lets the routes of the code interpreter answer a request to its port. */
function addPrefix(req: Request): void {
  req.url = codePrefix + req.url;
  // The validator looks at this one.
  req.originalUrl = codePrefix + req.originalUrl;
}

/** Returns the first segments of the paths that the contract describes of a sandbox itself. */
function agentPaths(contract: Contract): Set<string> {
  const served = operationsOf(contract).filter(({ operation }) =>
    operation.tags.some((tag) => tag === 'e2b-envd' || tag === 'e2b-code'),
  );
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
