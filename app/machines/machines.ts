import { readInstance } from '../../db/machines/instance.ts';
import type { Context, Machines } from '../context.ts';
import { BuildFiles } from './build-files/build-files.ts';
import { Builds } from './builds/builds.ts';
import { Background } from './code/background.ts';
import { Connections } from './connections.ts';
import type { Driver } from './driver.ts';
import { Images } from './images/images.ts';
import { KeysUnderWay } from './launch/keys.ts';
import { Launcher } from './launch/launch.ts';
import { Starts } from './launch/starts.ts';
import { startLifecycle } from './lifecycle/lifecycle.ts';
import { pauseMachine } from './lifecycle/pause.ts';
import { Reconciler } from './lifecycle/reconcile.ts';
import { Removals } from './lifecycle/removals.ts';
import { resizeMachine } from './lifecycle/resize.ts';
import { resumeMachine } from './lifecycle/resume.ts';
import { Verbs } from './lifecycle/verbs.ts';
import { createWaker } from './lifecycle/wake.ts';
import { restrictMachine } from './network/restrict.ts';
import { openDriver } from './open.ts';
import { Collector } from './snapshots/collector.ts';
import { Forks } from './snapshots/fork.ts';
import { LastSnapshots } from './snapshots/last.ts';
import { Snapshots } from './snapshots/take.ts';
import { tokens, trafficTokens } from './tokens.ts';
import { startSampler } from './usage/sampler.ts';

/** How long each step of stopping may take. */
const stopMilliseconds = 2000;

type Dependencies = Pick<Context, 'config' | 'store' | 'now' | 'log' | 'feed' | 'metrics'>;

/** What runs machines, until it is stopped. */
export type MachineRoom = { machines: Machines; stop: () => Promise<void> };

/**
 * Starts to look after machines. Returns at once, whatever the engine does. `given` is a driver to
 * use instead of the named one.
 */
export async function openMachines(base: Dependencies, name: Driver['name'], given?: Driver): Promise<MachineRoom> {
  const { config, store, log } = base;
  const instance = await readInstance(store.db);
  const driver = given ?? (await openDriver(name, config, { instance: instance.id, log }));
  const connections = new Connections({ ...base, driver });
  const collector = new Collector({ store, driver, log });
  const removals = new Removals({
    store,
    driver,
    log,
    isKept: (id) => lasts.keeps(id),
    onRemoved: () => collector.machineGone(),
  });
  const verbs = new Verbs();
  const lasts = new LastSnapshots({ ...base, driver, verbs, collector, onTaken: (id) => removals.add(id) });
  const agentOf = (id: string) => connections.agentOf(id);
  const images = new Images({ ...base, driver });
  images.start();
  const usages = startSampler({ ...base, driver, agentOf });
  const [starts, keys] = [new Starts(), new KeysUnderWay()];
  const { parts, stopLooking, followers } = startLifecycle({ ...base, driver, connections, verbs, starts, removals });
  const launcher = new Launcher({ ...base, driver, connections, removals, images, starts, keys });
  const changing = { ...base, driver, agentOf, verbs, collector };
  const snapshots = new Snapshots(changing);
  const forks = new Forks({ ...changing, connections, removals, starts, keys });
  collector.start();
  const buildFiles = new BuildFiles({ ...base, instance: instance.id });
  buildFiles.start();
  const builds = new Builds({ ...base, driver, connections, removals, starts, collector, images, buildFiles });
  const executions = new Background(base);
  const isLaunching = (id: string) => launcher.isLaunching(id) || forks.isForking(id) || builds.isBuilding(id);
  const reconciler = new Reconciler({ ...parts, ...base, removals, isLaunching });
  reconciler.start();
  const machines: Machines = {
    driver,
    launch: (order) => launcher.launch(order),
    pause: (id, record) => pauseMachine(parts, id, record),
    resume: (id, record, how) => resumeMachine(parts, id, record, how),
    restrict: (id, record) => restrictMachine(parts, id, record),
    resize: (id, memoryMb, record) => resizeMachine(parts, id, memoryMb, record),
    wake: createWaker(parts),
    tokenOf: tokens(instance.tokenKey),
    trafficTokenOf: trafficTokens(instance.tokenKey),
    agentOf,
    images,
    usages,
    snapshots,
    forks,
    builds,
    executions,
    buildFiles,
    collectSnapshots: () => collector.wake(),
  };
  return {
    machines,
    stop: async () => {
      stopLooking();
      const working = [executions, builds, reconciler, images, usages, collector, buildFiles];
      await briefly(Promise.all(working.map((part) => part.stop())));
      connections.closeAll();
      await briefly(Promise.all([followers.stop(), lasts.stop(), removals.stop()]));
      await briefly(driver.close());
    },
  };
}

/**
 * Waits for work, but not for an engine that hangs. The next start makes up for what is cut short.
 */
async function briefly(work: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, stopMilliseconds);
  await Promise.race([work, late]);
  clearTimeout(timer);
}
