import type { Request, RequestHandler } from 'express';
import type { Sandbox } from '../../db/sandboxes/read.ts';
import type { Contract } from '../../spec/load.ts';
import type { components } from '../../spec/types.gen.ts';
import type { Context } from '../context.ts';
import { isUsed } from '../contract/not-offered.ts';
import { operationOf } from '../contract/operation.ts';
import { HttpError } from '../errors.ts';
import type { Driver, Feature } from './driver.ts';
import { isRange } from './network/range.ts';

type Schemas = components['schemas'];
type Body = Record<string, unknown>;
type Network = Schemas['SandboxNetworkConfig'];

/** Something that machines need a feature for. `feature` null: no driver has it. */
type Rule = {
  feature: Feature | null;
  isUsed: (body: Body) => boolean;
  reason: string;
  /** whether it needs machines at all: records do without the rest */
  needsMachines?: true;
  /** default: 501; 403 where InstaVM's clients repeat a 5xx */
  status?: 403;
};

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
const egress: Rule = {
  feature: 'egress',
  isUsed: ({ network }) => isAsked(network, 'allowOut', 'denyOut') || isSet(network, 'dnsServers'),
  reason:
    'network is not offered: the machines of this server have no network rules; leave it out, or set allow_internet_access to false for no network at all',
};
const domains: Rule = {
  feature: 'domains',
  isUsed: ({ network }) => ((network as Network)?.allowOut ?? []).some((each) => !isRange(each)),
  reason:
    'network.allowOut takes no domains: the machines of this server check addresses, not names; give the addresses of the domain',
};
const proxy: Rule = {
  feature: null,
  isUsed: ({ network }) => isAsked(network, 'rules', 'egressProxy'),
  reason:
    'network.rules and network.egressProxy are not offered: nothing on the way of a sandbox’s traffic changes or passes on requests; leave them out',
};
const networkUpdate: Rule = {
  feature: 'egress',
  isUsed: always,
  reason: 'The network of a machine cannot be changed: create another sandbox',
};

const build: Rule = {
  feature: 'snapshot',
  isUsed: always,
  reason:
    'Sandpit builds no templates here: that needs machines of which snapshots can be taken. Take a snapshot of a sandbox, and use it as a template',
  needsMachines: true,
};
const buildArgs: Rule = {
  ...build,
  isUsed: ({ build_args: asked }) => Object.values((asked as Body | null) ?? {}).some(isUsed),
  reason:
    'build_args is not offered: Sandpit builds no snapshots here, which needs machines of which snapshots can be taken. Build the image elsewhere, and name it in oci_image',
  status: 403,
};
const freeDisk: Rule = {
  feature: null,
  isUsed: ({ minFreeDiskMB: asked }) => asked !== undefined && asked !== 0,
  reason: 'minFreeDiskMB is not offered: a machine may use the disk that its engine has; leave it out',
};

/**
 * What is refused with machines, and without if it needs machines, by operation. Operations that
 * are not here need no feature.
 */
export const rules: { [operationId: string]: Rule[] } = {
  e2b_create: [autoPause, autoResume, egress, domains, proxy],
  e2b_create_v2: [autoPause, autoResume, egress, domains, proxy],
  e2b_pause: [pause],
  e2b_resume: [resume],
  e2b_update_network: [networkUpdate, ofUpdate(domains), ofUpdate(proxy)],
  e2b_create_snapshot: [snapshot],
  e2b_fork: [copy],
  create_vm: [autoSuspend],
  update_vm: [autoSuspend, memory],
  suspend_vm: [pause],
  resume_vm: [resume],
  clone_vm: [copy],
  snapshot_vm: [snapshot],
  create_snapshot: [buildArgs],
  e2b_request_build: [build, freeDisk],
  e2b_get_build_file: [build],
  e2b_put_build_file: [build],
  e2b_start_build: [build],
  e2b_get_build_status: [build],
  e2b_get_build_logs: [build],
  publish_template: [devbox],
  run_template: [devbox],
};

/**
 * Returns a handler that throws HttpError 501, with the reason, if a request asks for something
 * that the driver cannot do, or that needs machines and there are none: `driver` is null then. It
 * changes nothing, so that no record says what its machine does not do. The status is 501 because
 * InstaVM's client shows its user only the messages of 403, 429 and 5xx.
 */
export function refuseUnsupported(contract: Contract, driver: Pick<Driver, 'features'> | null): RequestHandler {
  const isMissing = ({ feature, needsMachines }: Rule) =>
    driver === null ? needsMachines === true : !(feature && driver.features.has(feature));
  return (req: Request, _res, next) => {
    const found = rules[operationOf(contract, req)?.operationId ?? ''] ?? [];
    const broken = found.find((rule) => isMissing(rule) && rule.isUsed((req.body as Body | undefined) ?? {}));
    if (broken) throw new HttpError(broken.status ?? 501, broken.reason);
    next();
  };
}

/** Throws HttpError 501 if the sandbox would have to be resumed and the driver cannot do that. */
export function refusePaused({ machines }: Pick<Context, 'machines'>, sandbox: Pick<Sandbox, 'status'> | null): void {
  if (machines && sandbox?.status === 'paused' && !machines.driver.features.has('pause')) {
    throw new HttpError(501, resume.reason);
  }
}

/** Returns the rule for a body that is itself what `network` is in a create. */
function ofUpdate(rule: Rule): Rule {
  return { ...rule, isUsed: (body) => rule.isUsed({ network: body }) };
}

/** Whether a member asks for something: clients send empty lists and null for nothing. */
function isAsked(network: unknown, ...names: (keyof Network)[]): boolean {
  return names.some((name) => Object.keys((network as Network | undefined)?.[name] ?? {}).length > 0);
}

function isSet(network: unknown, name: keyof Network): boolean {
  return ((network as Network | undefined)?.[name] ?? null) !== null;
}
