"""Checks that everything that needs a machine is refused with Sandpit's own words."""

import inspect

from checks import check, refuses
from e2b.sandbox.commands.command_handle import PtySize

SIZE = PtySize(rows=24, cols=80)


def stream(sandbox, manager):
    """Sends input to process 1 with `stream_input`, whose two halves differ."""
    inputs = getattr(sandbox, manager).stream_input
    if "data" in inspect.signature(inputs).parameters:
        return inputs(1, [b"a"])

    async def send():
        handle = inputs(1)
        await handle.send(b"a")
        await handle.close()

    return send()


def refuses_on_machine(name, use, since="0"):
    """Declares that this call, given a sandbox, is refused."""

    @refuses(name, since=since)
    async def refused(api):
        sandbox = await api.sandbox()
        return await api.call(use, sandbox)


refuses_on_machine("commands.run", lambda sandbox: sandbox.commands.run("true"))
refuses_on_machine("commands.connect", lambda sandbox: sandbox.commands.connect(1))
refuses_on_machine("commands.kill", lambda sandbox: sandbox.commands.kill(1))
refuses_on_machine("commands.list", lambda sandbox: sandbox.commands.list())
refuses_on_machine("commands.send_stdin", lambda sandbox: sandbox.commands.send_stdin(1, "a"))
refuses_on_machine("commands.close_stdin", lambda sandbox: sandbox.commands.close_stdin(1))
refuses_on_machine("commands.stream_input", lambda sandbox: stream(sandbox, "commands"), since="2.59.0")
refuses_on_machine("files.exists", lambda sandbox: sandbox.files.exists("/a"))
refuses_on_machine("files.get_info", lambda sandbox: sandbox.files.get_info("/a"))
refuses_on_machine("files.list", lambda sandbox: sandbox.files.list("/"))
refuses_on_machine("files.make_dir", lambda sandbox: sandbox.files.make_dir("/a"))
refuses_on_machine("files.read", lambda sandbox: sandbox.files.read("/a"))
refuses_on_machine("files.remove", lambda sandbox: sandbox.files.remove("/a"))
refuses_on_machine("files.rename", lambda sandbox: sandbox.files.rename("/a", "/b"))
refuses_on_machine("files.write", lambda sandbox: sandbox.files.write("/a", "text"))
refuses_on_machine("files.write_files", lambda sandbox: sandbox.files.write_files([{"path": "/a", "data": "b"}]))
refuses_on_machine("pty.kill", lambda sandbox: sandbox.pty.kill(1))
refuses_on_machine("pty.resize", lambda sandbox: sandbox.pty.resize(1, SIZE))
refuses_on_machine("pty.send_stdin", lambda sandbox: sandbox.pty.send_stdin(1, b"a"))
refuses_on_machine("pty.stream_input", lambda sandbox: stream(sandbox, "pty"), since="2.59.0")
refuses_on_machine("git.init", lambda sandbox: sandbox.git.init("/a"))
refuses_on_machine("git.clone", lambda sandbox: sandbox.git.clone("https://example.com/a.git"))


@refuses("pty.connect")
async def connect_terminal(api):
    sandbox = await api.sandbox()
    if api.half == "async":
        return await sandbox.pty.connect(1, on_data=print)
    return sandbox.pty.connect(1)


@refuses("files.watch_dir")
async def watch(api):
    sandbox = await api.sandbox()
    if api.half == "async":
        return await sandbox.files.watch_dir("/a", on_event=print)
    return sandbox.files.watch_dir("/a")


@refuses("pty.create")
async def terminal(api):
    sandbox = await api.sandbox()
    if api.half == "async":
        return await sandbox.pty.create(SIZE, on_data=print)
    return sandbox.pty.create(SIZE)


@refuses("Sandbox.create(mcp)", "Sandbox.get_mcp_token")
async def mcp(api):
    return await api.sandbox(mcp={"github": {}})


@check("refused in words", *[f"git.{name}" for name in """
    add branches checkout_branch commit configure_user create_branch dangerously_authenticate delete_branch get_config
    pull push remote_add remote_get reset restore set_config status""".split()])
async def git(api):
    """Every method of `git` is `commands.run`, which is refused."""
    sandbox = await api.sandbox()
    try:
        await api.call(sandbox.git.status, "/a")
    except Exception as error:
        assert "Sandpit" in str(error), error
    else:
        raise AssertionError("git ran")
