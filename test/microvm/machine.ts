import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { freePort } from '../helpers/listen.ts';
import { until } from '../helpers/until.ts';
import { outerDisk } from './disk.ts';
import { debianKernel } from './kernel.ts';

/** The ports of the outer machine: where it runs commands, and where Sandpit listens. */
const ports = { control: 7000, sandpit: 7001 };
/** Emulated, and beside other work of the host, it may be slow to start. */
const startMilliseconds = 180_000;

export type OuterMachine = {
  /** where its port for Sandpit is reached from here */
  url: string;
  controlPort: number;
  /** Returns the end of what it wrote to its console. */
  console: () => string;
  stop: () => Promise<void>;
};

/**
 * Starts an emulated PC whose processor has AMD's virtualization, with `executable` as its second
 * disk, and waits until it runs commands. Its disk's changes are lost when it ends.
 */
export async function startOuterMachine(executable: string): Promise<OuterMachine> {
  const { kernel, initramfs } = debianKernel();
  const disk = outerDisk();
  const [controlPort, sandpitPort] = [await freePort(), await freePort()];
  const forwards = [`${controlPort}-:${ports.control}`, `${sandpitPort}-:${ports.sandpit}`];
  const child = spawn('setpriv', [
    // It ends with this process, however that ends.
    ...['--pdeathsig', 'KILL', 'qemu-system-x86_64'],
    ...['-accel', 'tcg,thread=multi', '-cpu', 'EPYC,+svm,+npt', '-smp', '2', '-m', '5120'],
    ...['-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 quiet panic=1'],
    ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-drive', `file=${disk},format=raw,if=virtio,snapshot=on,cache=unsafe`],
    ...['-drive', `file=${executable},format=raw,if=virtio,read-only=on`],
    // Without the Internet: nothing depends on it.
    ...['-netdev', ['user,id=net,restrict=on', ...forwards.map((each) => `hostfwd=tcp:127.0.0.1:${each}`)].join(',')],
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
  ]);
  const output = listenTo(child);
  const stop = () => end(child);
  try {
    await until('the outer machine runs commands', () => isUp(child, controlPort, output), startMilliseconds);
  } catch (error) {
    await stop();
    throw new Error(`${(error as Error).message}\n${output()}`);
  }
  return { url: `http://127.0.0.1:${sandpitPort}`, controlPort, console: output, stop };
}

/** Runs a shell command in the outer machine. Throws an Error with its output if it fails. */
export async function runOutside(controlPort: number, command: string, milliseconds = 60_000): Promise<string> {
  const socket = connect({ port: controlPort, host: '127.0.0.1' });
  const signal = AbortSignal.timeout(milliseconds);
  signal.addEventListener('abort', () => socket.destroy(new Error(`not within ${milliseconds} ms: ${command}`)));
  // The half that is closed tells the other end that no further command comes.
  socket.end(`${JSON.stringify(command)}\n`);
  const answer = await text(socket);
  if (answer === '') throw new Error(`the outer machine did not answer: ${command}`);
  const { code, output } = JSON.parse(answer) as { code: number; output: string };
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${output}`);
  return output;
}

async function isUp(child: ChildProcess, controlPort: number, output: () => string): Promise<boolean> {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the outer machine ended:\n${output()}`);
  // The forwarded port takes connections before anybody listens behind it, and refusing them takes
  // time.
  if (!output().includes('The outer machine is up')) return false;
  return runOutside(controlPort, 'true', 5000).then(
    () => true,
    () => false,
  );
}

/** Collects the last lines that qemu and its console write. */
function listenTo(child: ChildProcess): () => string {
  let all = '';
  const hear = (part: Buffer) => {
    all = (all + part.toString('latin1')).slice(-20_000);
  };
  child.stdout?.on('data', hear);
  child.stderr?.on('data', hear);
  child.on('error', (error) => hear(Buffer.from(`qemu-system-x86_64: ${error.message}\n`)));
  return () => {
    const printable = all.replaceAll(/[^\n -~]/g, '').split('\n');
    return printable
      .filter((line) => !line.includes("TCG doesn't support"))
      .slice(-60)
      .join('\n');
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
