import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, newListener, type Session } from '../session.ts';

const encoder = new TextEncoder();

/** Opens a terminal. `type` sends text to it; `shows` waits until it has printed a match. */
async function openTerminal({ sandbox }: Session, options: object = {}) {
  const { hear, heard, text } = newListener();
  const decoder = new TextDecoder();
  const onData = (bytes: Uint8Array) => hear(decoder.decode(bytes, { stream: true }));
  const handle = await sandbox.pty.create({ cols: 80, rows: 24, onData, ...options });
  return {
    handle,
    type: (text: string) => sandbox.pty.sendInput(handle.pid, encoder.encode(text)),
    shows: heard,
    text,
  };
}

describe("E2B's SDK on machines: terminals", () => {
  const { works } = eachSdkOnMachines();

  works('pty.create', async (session) => {
    const { folder } = session;
    const { handle, type, shows } = await openTerminal(session, { cwd: folder, envs: { A: 'b' } });
    // The words are divided so that the echo of the input does not match.
    await type('echo "si""ze=$(stty size) te""rm=$TERM a""=$A pw""d=$PWD"\n');
    await shows(new RegExp(`size=24 80 term=xterm-256color a=b pwd=${folder}`));
    await type('[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo al""l\n');
    await shows(/all/);
    await type('exit 3\n');
    expect(await rejection(handle.wait())).to.include({ exitCode: 3 });
  });

  works('pty.sendInput', async (session) => {
    const { sandbox, sdk } = session;
    const { handle, type, shows, text } = await openTerminal(session);
    await type('echo rea""dy; cat\n');
    await shows(/ready/);
    await type('häl');
    await type('lo\n');
    await shows(/hällo\r\nhällo\r\n/);
    // Ctrl+C ends cat, and the shell goes on.
    await type('\x03');
    // The terminal drops what is typed before the shell shows its prompt again.
    await until('the shell prints', async () => {
      await type('echo on""e\n');
      return /one/.test(text());
    });
    await type('\x04');
    await handle.wait().catch((error) => expect(error).to.be.instanceOf(sdk.CommandExitError));
    expect(await rejection(sandbox.pty.sendInput(999_999, encoder.encode('a')))).to.be.instanceOf(sdk.NotFoundError);
  });

  works('pty.resize', async (session) => {
    const { sandbox, sdk } = session;
    const { handle, type, shows } = await openTerminal(session);
    await type("trap 'echo chan''ged' WINCH; echo rea''dy\n");
    await shows(/ready/);
    await sandbox.pty.resize(handle.pid, { cols: 132, rows: 50 });
    await type('echo no""w $(stty size)\n');
    await shows(/changed/);
    await shows(/now 50 132/);
    await handle.kill();
    const error = await rejection(sandbox.pty.resize(999_999, { cols: 80, rows: 24 }));
    expect(error).to.be.instanceOf(sdk.NotFoundError);
  });

  works('pty.kill', async (session) => {
    const { sandbox, sdk } = session;
    const { handle } = await openTerminal(session);
    const ended = rejection(handle.wait());
    expect(await sandbox.pty.kill(handle.pid)).to.equal(true);
    expect(await ended).to.be.instanceOf(sdk.CommandExitError);
    expect(await sandbox.pty.kill(handle.pid)).to.equal(false);
  });

  works('pty.connect', async (session) => {
    const { sandbox } = session;
    const { handle, type, shows } = await openTerminal(session);
    await type('B=kept; echo rea""dy\n');
    await shows(/ready/);
    await handle.disconnect();
    const { hear, heard } = newListener();
    const onData = (bytes: Uint8Array) => hear(Buffer.from(bytes).toString());
    const again = await sandbox.pty.connect(handle.pid, { onData });
    await type('echo b""=$B\n');
    await heard(/b=kept/);
    await again.kill();
  });
});
