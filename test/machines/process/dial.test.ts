import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { expect } from 'chai';
import { dial } from '../../../app/machines/agent/dial.ts';
import { freePort, listen } from '../../helpers/listen.ts';
import { until } from '../../helpers/until.ts';
import { failureOf } from '../agent/failure.ts';
import { endMachines, startMachine } from './machine.ts';

const megabytes = (count: number) => Buffer.alloc(count * 2 ** 20, 'some bytes ');
const never = new AbortController().signal;

describe('ports of a machine', () => {
  const servers: Server[] = [];
  const program = async (serve: (socket: Socket) => void, host = '127.0.0.1') => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      serve(socket);
    });
    servers.push(server);
    if (host === '127.0.0.1') return listen(server);
    server.listen(0, host);
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  };
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close();
    await endMachines();
  });

  it('carry bytes both ways, and either side may end first', async () => {
    const { agent } = await startMachine();
    const echo = await dial(agent, await program((socket) => socket.pipe(socket)), never);
    const sent = megabytes(8);
    echo.end(sent);
    expect((await buffer(echo)).equals(sent)).to.equal(true);
    const heard = Promise.withResolvers<string>();
    const port = await program((socket) => {
      socket.end('bye');
      text(socket).then(heard.resolve, heard.reject);
    });
    const farewell = await dial(agent, port, never);
    expect(await text(farewell)).to.equal('bye');
    farewell.end('and thanks');
    expect(await heard.promise).to.equal('and thanks');
  });

  it('are reached at ::1 too', async () => {
    const { agent } = await startMachine();
    const stream = await dial(agent, await program((socket) => socket.end('six'), '::1'), never);
    expect(await text(stream.end())).to.equal('six');
  });

  it('that are closed are refused in words', async () => {
    const { agent } = await startMachine();
    const port = await freePort();
    expect(await failureOf(dial(agent, port, never))).to.equal(
      `AgentError failed_precondition: port ${port} is not open`,
    );
    expect(await failureOf(dial(agent, 0, never))).to.equal('AgentError invalid_argument: malformed arguments');
  });

  it('wait on both sides for who reads slowly', async () => {
    const { agent } = await startMachine();
    let written = 0;
    const flood = await program((socket) => {
      const piece = Buffer.alloc(65_536);
      const write = () => {
        while (written < 2 ** 28 && socket.write(piece)) written += piece.length;
      };
      socket.on('drain', write);
      write();
    });
    const reader = await dial(agent, flood, never);
    await once(reader, 'readable');
    await until('the program waits', async () => {
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return before === written;
    });
    expect(written).to.be.below(2 ** 25);
    reader.destroy();
    const sockets: Socket[] = [];
    const writer = await dial(agent, await program((socket) => void sockets.push(socket.pause())), never);
    const sent = megabytes(32);
    writer.end(sent);
    await until('the program is there', () => sockets.length > 0);
    expect(writer.writableFinished).to.equal(false);
    expect((await buffer(sockets[0] as Socket)).equals(sent)).to.equal(true);
    sockets[0]?.end();
    await once(writer.resume(), 'close');
  });

  it('break off when the program does, and the program is told when the server does', async () => {
    const { agent } = await startMachine();
    const port = await program((socket) => void socket.once('data', () => socket.resetAndDestroy()));
    const broken = await dial(agent, port, never);
    broken.write('x');
    expect(await failureOf(text(broken))).to.equal(
      `AgentError internal: the program at port ${port} broke the connection off`,
    );
    const closed = Promise.withResolvers<void>();
    const left = await dial(
      agent,
      await program((socket) => void socket.on('close', () => closed.resolve()).end()),
      never,
    );
    left.destroy();
    await closed.promise;
  });

  it('answer to who still sends, although they take no more', async () => {
    const { agent } = await startMachine();
    const port = await program((socket) => {
      socket.once('data', () => socket.end('enough', () => socket.destroy()));
    });
    const stream = await dial(agent, port, never);
    stream.on('error', () => undefined).write(megabytes(1));
    const [answer] = await once(stream, 'data');
    expect(String(answer)).to.equal('enough');
  });
});
