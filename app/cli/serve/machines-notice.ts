import type { Machines } from '../../context.ts';
import type { Choice } from '../../machines/choose/choose.ts';
import type { Driver, EngineInfo } from '../../machines/driver.ts';
import type { SandpitServer } from '../../server.ts';

/** How long to wait for an engine before the text goes without it. */
const patienceMilliseconds = 1000;

/**
 * Returns the part of the start-up text about machines: what runs them and, where something better
 * was not chosen, why. Takes two seconds at most.
 */
export async function machinesNotice({ context: { machines }, choice }: SandpitServer): Promise<string> {
  const left = leftWarning(choice);
  if (choice.driver === 'process') return left + processWarning;
  return left + (machines ? await runningNotice(machines, choice) : recordsNotice(choice));
}

const processWarning =
  'Warning: --machines process runs the commands of sandboxes on this machine, without isolation. Use it for tests only.\n';

const slow = {
  microvm: 'msb does not answer yet, which a busy machine or a slow disk explains; sandboxes start once it does',
  docker: 'the container engine does not answer',
  process: 'what runs them does not answer',
};

const names = { microvm: 'microVMs', docker: 'containers', process: 'processes' };

async function runningNotice({ driver, images }: Machines, choice: Choice): Promise<string> {
  const engine = await probe(driver);
  if (engine instanceof Error) return awayWarning(engine);
  const missing = await inTime(images.planned(), []);
  const pulls = missing.length === 0 ? '' : `Pulling ${missing.join(', ')}: until then no sandbox can start from it.\n`;
  return `Machines: ${names[driver.name]} of ${nameOf(engine)}${reasonOf(choice)}\n${pulls}`;
}

function reasonOf({ because, passedOver }: Choice): string {
  if (because === 'machines') return ', as before';
  return passedOver.length === 0 ? '' : ` (${whyNot(passedOver)}: see sandpit doctor --machines)`;
}

function whyNot(passedOver: Choice['passedOver']): string {
  return passedOver.map(({ driver, why }) => `no ${names[driver]}, because ${why}`).join('; ');
}

function awayWarning({ message }: Error): string {
  return `Warning: sandboxes cannot be started: ${message}. Find out why with sandpit doctor --machines.\n`;
}

function recordsNotice({ because, passedOver }: Choice): string {
  if (because === 'records')
    return 'Sandboxes are records only, as before: with --machines microvm or docker new ones get machines, and those that run without one end.\n';
  if (because === 'setting') return '';
  return `Sandboxes are records only: ${whyNot(passedOver)}. Find out what to do with sandpit doctor --machines.\n`;
}

/** Warns of machines of another driver: this server neither uses nor removes them. */
function leftWarning({ leftAlone, driver }: Choice): string {
  const does = driver === null ? 'keeps records only' : `runs ${names[driver]}`;
  return leftAlone
    .map(({ driver: other, machines }) => {
      const those =
        machines === 1 ? '1 machine of an earlier start is' : `${machines} machines of an earlier start are`;
      return `Warning: ${those} left alone, because this server ${does}: --machines ${other} takes them up again.\n`;
    })
    .join('');
}

function nameOf({ name, version, address }: EngineInfo): string {
  return `${name} ${version} at ${address}`;
}

async function probe(driver: Driver): Promise<EngineInfo | Error> {
  const asked = driver.probe().catch((error: Error) => error);
  return inTime<EngineInfo | Error>(asked, new Error(slow[driver.name]));
}

/** Returns the value of a promise, or `otherwise` when it takes too long. */
async function inTime<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  const { promise: late, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(otherwise), patienceMilliseconds);
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}
