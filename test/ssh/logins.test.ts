import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import ssh2, { type Client } from 'ssh2';
import { begin, connectSsh, makeKey, run, settled, startSsh } from '../helpers/clients/ssh-client.ts';
import { startApp, temporaryDirectory } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

/** Returns why a login fails. */
const refusal = (login: Promise<Client>): Promise<string> =>
  login.then(
    () => 'logged in',
    ({ message }: Error) => message,
  );
const noKey = 'All configured authentication methods failed';

describe('logins over SSH', () => {
  it('need a key of the owner of the sandbox', async () => {
    const ssh = await startSsh();
    const vm = await ssh.create();
    const [foreign, own] = [makeKey(), ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 })];
    await ssh.addKey(foreign, ssh.bob);
    await ssh.addKey(own);
    const login = (username: string, { private: privateKey }: { private: string }) =>
      ssh.connect(username, { privateKey });
    expect(await run(await login(vm, own), 'echo on')).to.include({ stdout: 'on\n' });
    expect(await refusal(login(vm, foreign))).to.equal(noKey);
    expect(await refusal(login(vm, makeKey()))).to.equal(noKey);
    for (const name of ['', 'root', '\0', `${vm} `, 'x'.repeat(1000)])
      expect(await refusal(login(name, own)))
        .to.be.a('string')
        .and.not.equal('logged in');
    const byPassword = connectSsh({ port: ssh.port, username: vm, password: ssh.alice.key });
    expect(await refusal(byPassword)).to.equal(noKey);
  });

  it('a key that was deleted opens nothing more', async () => {
    const ssh = await startSsh();
    const vm = await ssh.create();
    const client = await ssh.connect(vm);
    const [{ id }] = (await ssh.get('/v1/ssh-keys')).body.keys;
    await ssh.remove(`/v1/ssh-keys/${id}`).send({});
    expect(await run(client, 'true')).to.include({ stderr: 'This SSH key was deleted\r\n', code: 255 });
    expect(await refusal(ssh.connect(vm))).to.equal(noKey);
  });

  it('see the same host key after a restart, and another one of another database', async () => {
    const db = join(temporaryDirectory(), 'sandpit.db');
    const keys: string[] = [];
    const own = await startSsh();
    for (const config of [{ db }, { db }, {}]) {
      const app = await startApp({ machines: 'process', port: 0, sshPort: 0, ...config });
      await app.server.start();
      const port = app.server.sshPort() as number;
      const hostVerifier = (key: Buffer) => keys.push(key.toString('hex')) > 0;
      await refusal(connectSsh({ port, username: 'x', privateKey: own.key.private, hostVerifier }));
      await app.close();
    }
    expect(keys[0]).to.equal(keys[1]).and.not.to.equal(keys[2]);
  });

  it('end with the server, which does not wait for them', async () => {
    const ssh = await startSsh();
    const client = await ssh.connect(await ssh.create());
    const waiting = await begin(client, 'echo ready; sleep 1000');
    await once(waiting, 'data');
    const closed = once(client, 'close');
    await ssh.app.close();
    await closed;
  });

  it('clients that break the protocol are cut off, and hold up nobody', async () => {
    const ssh = await startSsh();
    const vm = await ssh.create();
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff', 'SSH-1.5-x\r\n']) {
      const socket = connect(ssh.port, '127.0.0.1');
      socket.on('error', () => {}).resume();
      socket.write(Buffer.from(bytes, 'latin1'));
      await once(socket, 'close');
    }
    // Sessions that ask for nothing, of a client that leaves.
    const client = await ssh.connect(vm);
    const internals = client as unknown as {
      _chanMgr: { add: (done: () => void) => number };
      _protocol: { session: (id: number, window: number, packet: number) => void };
    };
    for (let n = 0; n < 3; n++)
      internals._protocol.session(
        internals._chanMgr.add(() => {}),
        2 ** 21,
        2 ** 15,
      );
    expect(await run(client, 'echo on')).to.include({ stdout: 'on\n' });
    client.destroy();
    await ssh.app.logged(/an SSH connection ended/);
    expect(await run(await ssh.connect(vm), 'echo on')).to.include({ stdout: 'on\n' });
  });

  it('a client that ignores the window of its channel is cut off', async () => {
    const ssh = await startSsh();
    const client = await ssh.connect(await ssh.create());
    const waiting = await begin(client, 'echo ready; sleep 1000');
    await once(waiting, 'data');
    const { outgoing } = waiting as unknown as { outgoing: { id: number } };
    const { _protocol: protocol } = client as unknown as {
      _protocol: { channelData: (id: number, bytes: Buffer) => void };
    };
    const closed = new Promise<void>((resolve) => client.once('close', resolve));
    // So that the window is never quite used up.
    for (let n = 0; n < 300; n++) protocol.channelData(outgoing.id, Buffer.alloc(30_000));
    await closed;
  });

  it('a client with useless packets, and one that asks twice in a session, hold up nobody', async () => {
    const ssh = await startSsh();
    const vm = await ssh.create();
    type Protocol = {
      session: (id: number, window: number, packet: number) => void;
      exec: (id: number, command: string, wantsReply: boolean) => void;
      subsystem: (id: number, name: string, wantsReply: boolean) => void;
    };
    type Internals = { _chanMgr: { add: (done: () => void) => number }; _protocol: Protocol };
    const tiny = await ssh.connect(vm);
    const { _chanMgr, _protocol } = tiny as unknown as Internals;
    const cut = new Promise<void>((resolve) => tiny.once('close', resolve));
    _protocol.session(
      _chanMgr.add(() => {}),
      2 ** 21,
      0,
    );
    await cut;
    const twice = await ssh.connect(vm);
    const protocol = (twice as unknown as Internals)._protocol;
    const exec = protocol.exec.bind(protocol);
    protocol.exec = (id, command) => {
      exec(id, command, true);
      protocol.subsystem(id, 'sftp', false);
    };
    expect(await run(twice, 'echo once')).to.include({ stdout: 'once\n' });
    // The same of a sandbox that has ended.
    await ssh.remove(`/v1/vms/${vm}`);
    expect(await run(twice, 'echo once')).to.include({ code: 255 });
    expect(await run(await ssh.connect(await ssh.create()), 'echo on')).to.include({ stdout: 'on\n' });
  });

  it('a client that asks without end and reads nothing is cut off', async () => {
    const ssh = await startSsh();
    const socket = connect(ssh.port, '127.0.0.1');
    const client = new ssh2.Client();
    client.on('error', () => {});
    client.connect({ sock: socket, username: 'nobody', privateKey: ssh.key.private, authHandler: () => {} });
    await once(client, 'handshake');
    socket.removeAllListeners('data').pause();
    const { _protocol: protocol } = client as unknown as { _protocol: { ping: () => void } };
    let isCut = false;
    socket.once('close', () => {
      isCut = true;
    });
    while (!isCut) {
      for (let n = 0; n < 2000 && !socket.destroyed; n++) protocol.ping();
      while (!isCut && socket.writableLength > 1_000_000) await nextTurn();
      await nextTurn();
    }
    expect(await run(await ssh.connect(await ssh.create()), 'echo on')).to.include({ stdout: 'on\n' });
  });

  it('a sandbox has 64 connections at most, and a connection 64 channels', async () => {
    const ssh = await startSsh();
    const vm = await ssh.create();
    const clients: Client[] = [];
    for (let n = 0; n < 8; n++) {
      clients.push(...(await Promise.all(Array.from({ length: 8 }, () => ssh.connect(vm)))));
    }
    const late = await ssh.connect(vm);
    await once(late, 'close');
    const [first, second] = clients as [Client, Client];
    first.end();
    await until('there is room', () =>
      refusal(ssh.connect(vm).then((client) => settle(client))).then((how) => how === 'logged in'),
    );
    const channels = Array.from({ length: 65 }, () => begin(second, 'cat'));
    const outcomes = await Promise.allSettled(channels);
    expect(outcomes.filter(({ status }) => status === 'rejected')).to.have.length(1);
  });

  it('are not offered with records only', async () => {
    const failed = await startApp({ sshPort: 0 }).catch((error) => error);
    expect(failed).to.be.an('error').with.property('message').that.contains('--ssh-port needs machines');
  });
});

/** Returns the client if its connection stays. */
async function settle(client: Client): Promise<Client> {
  await settled((done) => client.exec('true', done));
  return client;
}
