"""Checks of machines behind a server that clients know by its domain only. A proxy leads every name to it."""

import os

from checks import check

from .machine import shell

PROXY = os.environ.get("TUNNEL_URL")


@check("works", "E2B_DOMAIN: commands.run", "E2B_DOMAIN: files.read", "E2B_DOMAIN: pty.create")
async def by_domain(api):
    sandbox = await api.sandbox(proxy=PROXY)
    assert await shell(api, sandbox, "echo hi") == "hi"
    await api.call(sandbox.files.write, "a", "text")
    assert await api.call(sandbox.files.read, "a") == "text"
    size = {"rows": 24, "cols": 80}
    terminal = await open_terminal(api, sandbox, size)
    assert await api.call(sandbox.pty.kill, terminal.pid) is True
    await api.call(sandbox.kill)


async def open_terminal(api, sandbox, size):
    """Opens a terminal with either half of the package."""
    from e2b.sandbox.commands.command_handle import PtySize

    if api.half == "async":
        return await sandbox.pty.create(PtySize(**size), on_data=lambda data: None)
    return sandbox.pty.create(PtySize(**size))
