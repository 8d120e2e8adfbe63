import { hash, timingSafeEqual } from 'node:crypto';
import type { Request, Response } from 'express';
import type { components } from '../../spec/types.gen.ts';
import type { Context, Machines } from '../context.ts';
import type { HttpError } from '../errors.ts';
import { Streams } from '../http/streams/streams.ts';
import { dial } from '../machines/agent/dial.ts';
import { runningSandboxes } from '../machines/running.ts';
import { closedPort, failureAt, PortError, refuse } from './answers.ts';
import { forward } from './forward.ts';
import type { PortTarget } from './target.ts';

/** Requests to ports that are under way. Each may hold 256 KiB that its client has not read. */
const mostRequests = { all: 1024, ofOne: 256, whose: 'The sandbox' };
/** How long a program may take to accept a connection. */
const dialMilliseconds = 10_000;
const tokenHeader = 'e2b-traffic-access-token';

type Network = NonNullable<components['schemas']['SandboxNetworkConfig']>;

/** What a caller decides about a request to a port. */
export type PortOptions = {
  /** Throws HttpError if the request may not reach the port. By default a traffic token decides. */
  check?: (req: Request, network: Network) => void;
  /** Whether the traffic token is needed although the sandbox's ports are public. */
  isPrivate?: boolean;
  /** Is called instead of the answer for a closed port. */
  onClosed?: () => void;
};

/** Sends a request on to a port of a sandbox, and answers it whatever happens. */
export type ForwardToPort = (req: Request, res: Response, target: PortTarget, options?: PortOptions) => Promise<void>;

/** Returns the function that forwards requests to ports. Call it once: its bounds are for all. */
export function portForwarder(context: Context, machines: Machines): ForwardToPort {
  const streams = new Streams(mostRequests);
  const find = runningSandboxes(context, machines);
  const open = async (req: Request, res: Response, target: PortTarget, options: PortOptions) => {
    const { id, port } = target;
    const { check = tokenCheck(machines.trafficTokenOf(id), options.isPrivate) } = options;
    const { record, agent } = await find(id, ({ settings }) => {
      check(req, networkOf(settings));
      return true;
    });
    const network = networkOf(record.settings);
    check(req, network);
    streams.take(res, id);
    const connect = async () => dial(await agent(), port, AbortSignal.timeout(dialMilliseconds));
    // While the request's body is unread: who answers for a closed port reads it.
    if (options.onClosed) (await connect()).destroy();
    const isSecure = network.httpsPorts?.includes(port) === true;
    await forward(req, res, { id, port, isSecure, dial: connect }, hostFor(network, port));
  };
  return async (req, res, target, options = {}) => {
    req.sandboxId = target.id;
    try {
      await open(req, res, target, options);
    } catch (error) {
      answerFailure(context, req, res, target, error, options);
    }
  };
}

function answerFailure(
  { limitRate, log }: Context,
  req: Request,
  res: Response,
  target: PortTarget,
  error: unknown,
  { onClosed }: PortOptions,
): void {
  let failure = failureAt(target, error);
  if (failure === closedPort && onClosed) {
    onClosed();
    return;
  }
  if (failure.status === 500) log.error({ id: req.id, err: error }, 'request failed');
  try {
    limitRate(req);
  } catch (limit) {
    failure = limit as HttpError;
  }
  refuse(req, res, target, failure);
}

/** Returns the check of a sandbox whose ports may not be public, in the words of E2B's proxy. */
function tokenCheck(token: string, isPrivate = false): (req: Request, network: Network) => void {
  return (req, { allowPublicTraffic }) => {
    if (!isPrivate && allowPublicTraffic !== false) return;
    const given = req.headersDistinct[tokenHeader]?.[0];
    const begin = 'Sandbox is secured with traffic access token.';
    if (!given) throw new PortError(403, `${begin} Token header '${tokenHeader}' is missing`);
    if (!timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', token, 'buffer')))
      throw new PortError(403, `${begin} Provided token in header '${tokenHeader}' is invalid`);
  };
}

/** Returns the host that a program sees: many answer no other than this one. */
function hostFor({ maskRequestHost }: Network, port: number): string {
  return (maskRequestHost || `localhost:${port}`).replace(/\$\{PORT\}/g, String(port));
}

function networkOf(settings: string | null): Network {
  return (settings === null ? null : (JSON.parse(settings).network as Network | undefined)) ?? {};
}
