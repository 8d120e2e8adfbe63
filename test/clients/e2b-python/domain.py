"""Checks of a server that clients know by its domain only. A proxy leads every name to it."""

import os

from checks import check, refuses

PROXY = os.environ.get("TUNNEL_URL")
DOMAIN = os.environ.get("E2B_DOMAIN")


@check("works", "E2B_DOMAIN")
async def by_domain(api):
    sandbox = await api.sandbox(proxy=PROXY)
    assert sandbox.sandbox_domain == DOMAIN, sandbox.sandbox_domain
    assert sandbox.get_host(3000) == f"3000-{sandbox.sandbox_id}.{DOMAIN}"
    assert await api.call(sandbox.is_running) is True
    info = await api.call(sandbox.get_info)
    assert info.sandbox_id == sandbox.sandbox_id
    assert await api.call(sandbox.kill) is True
    assert await api.call(sandbox.is_running) is False


@refuses("E2B_DOMAIN: commands.run")
async def commands_by_domain(api):
    sandbox = await api.sandbox(proxy=PROXY)
    return await api.call(sandbox.commands.run, "true")


@refuses("E2B_DOMAIN: files.read")
async def files_by_domain(api):
    sandbox = await api.sandbox(proxy=PROXY)
    return await api.call(sandbox.files.read, "/a")
