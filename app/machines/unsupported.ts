import type { Request, RequestHandler } from 'express';
import type { Sandbox } from '../../db/sandboxes/read.ts';
import type { Contract } from '../../spec/load.ts';
import type { components } from '../../spec/types.gen.ts';
import type { Context } from '../context.ts';
import { operationOf } from '../contract/operation.ts';
import { HttpError } from '../errors.ts';
import type { Driver, Feature } from './driver.ts';

type Schemas = components['schemas'];
type Body = Record<string, unknown>;

/** Something that machines need a feature for. `feature` null: no driver has it. */
type Rule = { feature: Feature | null; isUsed: (body: Body) => boolean; reason: string };

const always = () => true;

const pause: Rule = {
  feature: 'pause',
  isUsed: always,
  reason: 'Sandboxes cannot be paused: the machines of this server do not offer it',
};
const resume: Rule = {
  ...pause,
  reason: 'Sandboxes cannot be resumed: the machines of this server do not offer it; create a new one',
};
const snapshot: Rule = {
  feature: 'snapshot',
  isUsed: always,
  reason: 'Sandpit takes no snapshots of sandboxes with machines',
};
const image: Rule = {
  feature: null,
  isUsed: always,
  reason: 'Sandpit makes no snapshots from images for machines: an administrator adds templates with sandpit templates',
};
const copy: Rule = { ...snapshot, reason: 'Sandboxes with machines cannot be copied: create a new one' };
const devbox: Rule = { ...snapshot, reason: 'Sandboxes with machines cannot be started from snapshots' };

const autoPause: Rule = {
  feature: 'pause',
  isUsed: ({ autoPause: asked }) => asked === true,
  reason: 'autoPause is not offered: the machines of this server cannot be paused; leave it out',
};
const autoResume: Rule = {
  feature: 'pause',
  isUsed: ({ autoResume: asked }) => (asked as Schemas['NewSandbox']['autoResume'])?.enabled === true,
  reason: 'autoResume is not offered: the machines of this server cannot be paused; leave it out',
};
const autoSuspend: Rule = {
  feature: 'pause',
  isUsed: ({ auto_suspend: asked }) => asked === true,
  reason: 'auto_suspend is not offered: the machines of this server cannot be paused; leave it out',
};
const memory: Rule = {
  feature: null,
  isUsed: ({ memory_mb: asked }) => asked !== undefined,
  reason: 'memory_mb cannot be changed: a machine keeps its memory for as long as it lives; create another sandbox',
};
const network: Rule = {
  feature: null,
  isUsed: ({ network: asked }) => isRestricted((asked as Schemas['SandboxNetworkConfig'] | undefined) ?? {}),
  reason:
    'network is not offered: machines have no network rules; leave it out, or set allow_internet_access to false for no network at all',
};
const networkUpdate: Rule = {
  feature: null,
  isUsed: always,
  reason: 'The network of a machine cannot be changed: create another sandbox',
};

/** What is refused with machines, by operation. Operations that are not here need no feature. */
export const rules: { [operationId: string]: Rule[] } = {
  e2b_create: [autoPause, autoResume, network],
  e2b_create_v2: [autoPause, autoResume, network],
  e2b_pause: [pause],
  e2b_resume: [resume],
  e2b_update_network: [networkUpdate],
  e2b_create_snapshot: [snapshot],
  e2b_fork: [copy],
  create_vm: [autoSuspend],
  update_vm: [autoSuspend, memory],
  suspend_vm: [pause],
  resume_vm: [resume],
  clone_vm: [copy],
  snapshot_vm: [snapshot],
  create_snapshot: [image],
  publish_template: [devbox],
  run_template: [devbox],
};

/**
 * Returns a handler that throws HttpError 501, with the reason, if a request asks for something
 * that the driver cannot do. It changes nothing, so that no record says what its machine does not
 * do. The status is 501 because InstaVM's client shows its user only the messages of 403, 429 and
 * 5xx.
 */
export function refuseUnsupported(contract: Contract, driver: Pick<Driver, 'features'>): RequestHandler {
  return (req: Request, _res, next) => {
    const found = rules[operationOf(contract, req)?.operationId ?? ''] ?? [];
    const broken = found.find(
      ({ feature, isUsed }) =>
        !(feature && driver.features.has(feature)) && isUsed((req.body as Body | undefined) ?? {}),
    );
    if (broken) throw new HttpError(501, broken.reason);
    next();
  };
}

/** Throws HttpError 501 if the sandbox would have to be resumed and the driver cannot do that. */
export function refusePaused({ machines }: Pick<Context, 'machines'>, sandbox: Pick<Sandbox, 'status'> | null): void {
  if (machines && sandbox?.status === 'paused' && !machines.driver.features.has('pause')) {
    throw new HttpError(501, resume.reason);
  }
}

/**
 * Returns whether network settings ask for more than an open network. Empty lists, and traffic to
 * ports from anywhere, are what clients send for a sandbox without rules.
 */
function isRestricted(asked: Schemas['SandboxNetworkConfig']): boolean {
  return Object.values(asked).some(
    (value) => value !== true && value != null && !(typeof value === 'object' && Object.keys(value).length === 0),
  );
}
