import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import ssh2, { type Client, type ClientChannel, type ConnectConfig, type ParsedKey, type SFTPWrapper } from 'ssh2';
import type { Config } from '../../../app/config/settings.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { hostKey } from '../../../app/ssh/host-key.ts';
import type { Caller } from '../server.ts';
import { type Instavm, startInstavm } from './instavm-client.ts';

export type Ended = { stdout: string; stderr: string; code: number | null; signal: string | null };
export type KeyPair = { private: string; public: string };

export type Ssh = Instavm & {
  url: string;
  port: number;
  /** a key of alice's */
  key: KeyPair;
  /** Creates a sandbox of alice's, and returns its id. */
  create: (body?: object) => Promise<string>;
  addKey: (key: KeyPair, caller?: Caller) => Promise<number>;
  /** Logs in to a sandbox, with alice's key by default. */
  connect: (sandbox: string, options?: ConnectConfig) => Promise<Client>;
};

const clients = new Set<Client>();

afterEach(() => {
  for (const client of clients) client.destroy();
  clients.clear();
});

/** Returns a new key pair. One of a hundred that ssh2 makes itself is malformed. */
export function makeKey(): KeyPair {
  const privateKey = hostKey(randomBytes(32));
  const key = ssh2.utils.parseKey(privateKey) as ParsedKey;
  return { private: privateKey, public: `${key.type} ${key.getPublicSSH().toString('base64')}` };
}

/** Starts a server with machines that ssh reaches. */
export async function startSsh(config: Partial<Config> = {}, driver?: Driver): Promise<Ssh> {
  const instavm = await startInstavm({ machines: 'process', port: 0, sshPort: 0, ...config }, driver);
  const { app, alice } = instavm;
  const url = await app.server.start();
  const port = app.server.sshPort() as number;
  const key = makeKey();
  const addKey = async ({ public: public_key }: KeyPair, caller: Caller = alice) => {
    const { body } = await instavm.post('/v1/ssh-keys', { public_key }, caller);
    return body.id as number;
  };
  await addKey(key);
  return {
    ...instavm,
    url,
    port,
    key,
    addKey,
    create: async (body = {}) => (await instavm.post('/v1/vms', body)).body.vm_id,
    connect: (username, options = {}) => connectSsh({ port, username, privateKey: key.private, ...options }),
  };
}

/** Resolves to a client that has logged in. */
export async function connectSsh(options: ConnectConfig): Promise<Client> {
  const client = new ssh2.Client();
  clients.add(client);
  client.connect({ host: '127.0.0.1', ...options });
  const ready = once(client, 'ready');
  // One that is cut may report more than the one error that the caller gets.
  client.on('error', () => {});
  await ready;
  // Requests are small: they must not wait for more.
  client.setNoDelay(true);
  return client;
}

/** How channels have ended: a command may end before anybody waits for that. */
const exits = new WeakMap<ClientChannel, Promise<unknown[]>>();

/** Starts a command. The options are those of ssh2. */
export function begin(client: Client, command: string, options: object = {}): Promise<ClientChannel> {
  return settled((done) => {
    client.exec(command, options, (error, channel) => {
      if (channel) exits.set(channel, once(channel, 'exit'));
      done(error, channel);
    });
  });
}

/** Runs a command to its end. */
export async function run(client: Client, command: string, input = '', options: object = {}): Promise<Ended> {
  return ended(await begin(client, command, options), input);
}

/** Waits for the end of a command. */
export async function ended(channel: ClientChannel, input = ''): Promise<Ended> {
  channel.end(input);
  const all = [text(channel), text(channel.stderr), exits.get(channel) ?? []] as const;
  const [stdout, stderr, [code, signal]] = await Promise.all(all);
  return { stdout, stderr, code: code as number | null, signal: (signal as string | undefined) ?? null };
}

export function openSftp(client: Client): Promise<SFTPWrapper> {
  return settled((done) => client.sftp(done));
}

/** Returns the result of a function that takes a callback as its last argument. */
export function settled<Value>(
  work: (done: (error: Error | null | undefined, value: Value) => void) => unknown,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    work((error, value) => (error ? reject(error) : resolve(value)));
  });
}
