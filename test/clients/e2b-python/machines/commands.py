"""Checks of commands on a machine."""

import inspect

from checks import check

from .machine import machine, must_raise, shell, until


@check("works", "commands.run")
async def run(api):
    sandbox, folder = await machine(api)
    result = await api.call(sandbox.commands.run, "echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0), result
    error = await must_raise(api, "CommandExitException", sandbox.commands.run, "echo a; exit 7")
    assert (error.exit_code, error.stdout) == (7, "a\n"), error
    assert await shell(api, sandbox, "pwd", cwd=folder) == folder
    assert await shell(api, sandbox, 'echo "$A"', envs={"A": "b c"}) == "b c"
    assert await shell(api, sandbox, "id -un; echo $HOME") == "user\n/home/user"
    assert await shell(api, sandbox, "id -un; echo $HOME", user="root") == "root\n/root"
    whole = "aé€😀" * 20_000
    assert await shell(api, sandbox, "for i in $(seq 20000); do printf 'aé€😀'; done") == whole
    await must_raise(api, "InvalidArgumentException", sandbox.commands.run, "true", cwd="/none")
    await must_raise(api, "AuthenticationException", sandbox.commands.run, "true", user="nobody-has-this")


@check("works", "commands.run(on_stdout, on_stderr)")
async def callbacks(api):
    sandbox, _ = await machine(api)
    out, err = [], []
    command = "for i in 1 2 3; do echo $i; echo e$i >&2; done"
    await api.call(sandbox.commands.run, command, on_stdout=out.append, on_stderr=err.append)
    assert "".join(out) == "1\n2\n3\n" and "".join(err) == "e1\ne2\ne3\n", (out, err)


@check("works", "commands.run(timeout)")
async def timeouts(api):
    sandbox, folder = await machine(api)
    await must_raise(api, "TimeoutException", sandbox.commands.run, f"sleep 1000; echo {folder}", timeout=0.5)

    async def ended():
        return not any(folder in " ".join(each.args) for each in await api.call(sandbox.commands.list))

    await until("the process has ended", ended)


@check("works", "commands.run(background)")
async def background(api):
    sandbox, folder = await machine(api)
    command = f"until [ -e {folder}/go ]; do sleep 0.01; done; echo done"
    handle = await api.call(sandbox.commands.run, command, background=True)
    await api.call(sandbox.files.write, f"{folder}/go", "")
    result = await api.call(handle.wait)
    assert (result.stdout, result.exit_code) == ("done\n", 0), result


@check("works", "commands.list", "commands.kill")
async def list_and_kill(api):
    sandbox, folder = await machine(api)
    handle = await api.call(sandbox.commands.run, "sleep 1000", background=True, cwd=folder, envs={"A": "b"})
    [found] = [each for each in await api.call(sandbox.commands.list) if each.pid == handle.pid]
    assert (found.cmd, found.args, found.cwd) == ("/bin/bash", ["-l", "-c", "sleep 1000"], folder), found
    assert found.envs["A"] == "b", found
    assert await api.call(sandbox.commands.kill, handle.pid) is True
    error = await must_raise(api, "CommandExitException", handle.wait)
    assert error.error == "signal: killed", error
    assert await api.call(sandbox.commands.kill, handle.pid) is False


@check("works", "commands.connect")
async def connect(api):
    sandbox, folder = await machine(api)
    command = f"until [ -e {folder}/go ]; do sleep 0.01; done; echo late; exit 4"
    first = await api.call(sandbox.commands.run, command, background=True)
    await api.call(first.disconnect)
    second = await api.call(sandbox.commands.connect, first.pid)
    await api.call(sandbox.files.write, f"{folder}/go", "")
    error = await must_raise(api, "CommandExitException", second.wait)
    assert (error.stdout, error.exit_code) == ("late\n", 4), error
    await must_raise(api, "NotFoundException", sandbox.commands.connect, 999_999)


@check("works", "commands.send_stdin", "commands.close_stdin")
async def stdin(api):
    sandbox, _ = await machine(api)
    handle = await api.call(sandbox.commands.run, "cat; echo end", background=True, stdin=True)
    await api.call(sandbox.commands.send_stdin, handle.pid, "one ")
    await api.call(sandbox.commands.send_stdin, handle.pid, "twö")
    await api.call(sandbox.commands.close_stdin, handle.pid)
    result = await api.call(handle.wait)
    assert result.stdout == "one twöend\n", result
    await must_raise(api, "NotFoundException", sandbox.commands.send_stdin, 999_999, "a")


async def stream(api, manager, pid, parts):
    """Sends input with `stream_input`, whose two halves differ."""
    if "data" in inspect.signature(manager.stream_input).parameters:
        return manager.stream_input(pid, parts)
    handle = manager.stream_input(pid)
    for part in parts:
        await handle.send(part)
    await handle.close()


@check("works", "commands.stream_input", since="2.59.0")
async def stream_input(api):
    sandbox, _ = await machine(api)
    handle = await api.call(sandbox.commands.run, "head -c 300006", background=True, stdin=True)
    await stream(api, sandbox.commands, handle.pid, [b"one", b"x" * 300_000, b"two"])
    result = await api.call(handle.wait)
    assert result.stdout == "one" + "x" * 300_000 + "two", len(result.stdout)


@check("works", "commands.run: 20 MB of output")
async def flood(api):
    sandbox, _ = await machine(api)
    sizes = []
    command = "yes abcdefg | head -c 20000000"
    await api.call(sandbox.commands.run, command, on_stdout=lambda text: sizes.append(len(text)), timeout=0)
    assert sum(sizes) == 20_000_000, sum(sizes)
