"""Checks of terminals on a machine."""

from checks import check
from e2b.sandbox.commands.command_handle import PtySize

from .commands import stream
from .machine import machine, must_raise

SIZE = PtySize(rows=24, cols=80)


async def terminal(api, **options):
    """Opens a terminal. Returns its sandbox, its handle and the parts that it prints."""
    sandbox, _ = await machine(api)
    parts = []
    if api.half == "async":
        return sandbox, await sandbox.pty.create(SIZE, on_data=parts.append, **options), parts
    return sandbox, sandbox.pty.create(SIZE, **options), parts


async def finish(api, handle, parts, code):
    """Waits for the end of a terminal and returns what it has printed."""
    options = {"on_pty": parts.append} if api.half == "sync" else {}
    if code == 0:
        await api.call(handle.wait, **options)
    else:
        error = await must_raise(api, "CommandExitException", handle.wait, **options)
        assert error.exit_code == code, error
    return b"".join(bytes(part) for part in parts).decode()


@check("works", "pty.create", "pty.send_stdin")
async def create(api):
    sandbox, handle, parts = await terminal(api, envs={"A": "b"}, cwd="/tmp")
    # The words are divided so that the echo of the input does not match.
    line = 'echo "si""ze=$(stty size) te""rm=$TERM a""=$A pw""d=$PWD"; exit 3\n'
    await api.call(sandbox.pty.send_stdin, handle.pid, line.encode())
    printed = await finish(api, handle, parts, 3)
    assert "size=24 80 term=xterm-256color a=b pwd=/tmp" in printed, printed


@check("works", "pty.resize")
async def resize(api):
    sandbox, handle, parts = await terminal(api)
    await api.call(sandbox.pty.resize, handle.pid, PtySize(rows=50, cols=132))
    await api.call(sandbox.pty.send_stdin, handle.pid, b"stty size; exit 0\n")
    assert "50 132" in await finish(api, handle, parts, 0)
    await must_raise(api, "NotFoundException", sandbox.pty.resize, 999_999, SIZE)


@check("works", "pty.kill")
async def kill(api):
    sandbox, handle, _ = await terminal(api)
    assert await api.call(sandbox.pty.kill, handle.pid) is True
    await must_raise(api, "CommandExitException", handle.wait)
    assert await api.call(sandbox.pty.kill, handle.pid) is False


@check("works", "pty.connect")
async def connect(api):
    sandbox, first, _ = await terminal(api)
    await api.call(first.disconnect)
    parts = []
    if api.half == "async":
        second = await sandbox.pty.connect(first.pid, on_data=parts.append)
    else:
        second = sandbox.pty.connect(first.pid)
    await api.call(sandbox.pty.send_stdin, first.pid, b'echo fo""und; exit 0\n')
    assert "found" in await finish(api, second, parts, 0)


@check("works", "pty.stream_input", since="2.59.0")
async def stream_input(api):
    sandbox, handle, parts = await terminal(api)
    await stream(api, sandbox.pty, handle.pid, [b'echo fo""', b"und; exit 0\n"])
    assert "found" in await finish(api, handle, parts, 0)
