"""Checks of sandboxes that have a machine: their lives, tokens, metrics."""

from datetime import timedelta

from checks import check

from .machine import machine, must_raise, shell, until


@check("works", "Sandbox.create", "Sandbox.sandbox_id", "Sandbox.get_info")
async def create(api):
    one, other = await api.sandbox(envs={"A": "b"}), await api.sandbox()
    assert await shell(api, one, "echo $A") == "b"
    await api.call(one.files.write, "mine", "text")
    assert await api.call(other.files.exists, "mine") is False
    assert (await api.call(one.get_info)).state.value == "running"
    await api.call(one.kill)
    await api.call(other.kill)


@check("works", "Sandbox.create(template)")
async def unknown_template(api):
    error = await must_raise(api, "SandboxException", api.sandbox, template="no-such-template")
    assert "template 'no-such-template' not found" in str(error), error


@check("works", "Sandbox.connect")
async def connect(api):
    sandbox, folder = await machine(api)
    await api.call(sandbox.files.write, f"{folder}/a", "text")
    again = await api.call(api.Sandbox.connect, sandbox.sandbox_id)
    assert await api.call(again.files.read, f"{folder}/a") == "text"
    assert await shell(api, again, "echo hi") == "hi"


@check("works", "Sandbox.kill", "Sandbox.is_running")
async def kill(api):
    sandbox = await api.sandbox()
    handle = await api.call(sandbox.commands.run, "sleep 1000", background=True, timeout=0)
    assert await api.call(sandbox.is_running) is True
    assert await api.call(sandbox.kill) is True
    await must_raise(api, "TimeoutException", handle.wait)
    assert await api.call(sandbox.is_running) is False
    await must_raise(api, "SandboxException", sandbox.commands.run, "true")
    await must_raise(api, "TimeoutException", sandbox.files.read, "a")
    assert await api.call(sandbox.kill) is False


@check("works", "Sandbox.set_timeout")
async def expiry(api):
    sandbox = await api.sandbox()
    handle = await api.call(sandbox.commands.run, "sleep 1000", background=True, timeout=0)
    await api.call(sandbox.set_timeout, 1)
    await must_raise(api, "TimeoutException", handle.wait)
    assert await api.call(sandbox.is_running) is False


@check("works", "Sandbox.create(secure)")
async def secure(api):
    sandbox, _ = await machine(api)
    for name in ("wrong", ""):
        await refused_with(api, sandbox, name)
    assert await shell(api, sandbox, "echo hi") == "hi"


async def refused_with(api, sandbox, token):
    """Checks that a raw call with this token is refused with E2B's words."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    import os

    headers = {"Content-Type": "application/json", "E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983"}
    if token:
        headers["X-Access-Token"] = token
    try:
        urlopen(Request(os.environ["E2B_SANDBOX_URL"] + "/process.Process/List", b"{}", headers))
    except HTTPError as error:
        assert error.code == 401 and b"unauthorized access" in error.read(), error
    else:
        raise AssertionError("the call was accepted")


@check("works", "Sandbox.get_metrics")
async def metrics(api):
    sandbox, _ = await machine(api)

    async def measured():
        return len(await api.call(sandbox.get_metrics)) > 0

    await until("the first reading", measured, seconds=30)
    [first, *_] = await api.call(sandbox.get_metrics)
    assert first.cpu_count == 2 and first.mem_total == 512 * 2**20 and first.mem_used > 0, first
    started = (await api.call(sandbox.get_info)).started_at
    before = {"start": started - timedelta(hours=2), "end": started - timedelta(hours=1)}
    assert await api.call(sandbox.get_metrics, **before) == []


@check("works", "Sandbox.pause", "Sandbox.beta_pause")
async def pause(api):
    sandbox = await api.sandbox()
    handle = await api.call(sandbox.commands.run, "sleep 1000", background=True, timeout=0)
    await api.call(sandbox.pause)
    assert await api.call(sandbox.is_running) is False
    await must_raise(api, "TimeoutException", sandbox.files.exists, "a")
    assert (await api.call(sandbox.connect)).sandbox_id == sandbox.sandbox_id
    assert [each.pid for each in await api.call(sandbox.commands.list)] == [handle.pid]
    await api.call(sandbox.beta_pause)
    await api.call(sandbox.connect)
    assert await shell(api, sandbox, "echo hi") == "hi"
    await api.call(sandbox.kill)


@check("works", "Sandbox.pause(keep_memory)")
async def pause_files_only(api):
    sandbox = await api.sandbox()
    await api.call(sandbox.files.write, "mine", "text")
    await api.call(sandbox.commands.run, "sleep 1000", background=True, timeout=0)
    await api.call(sandbox.pause, keep_memory=False)
    await api.call(sandbox.connect)
    assert await api.call(sandbox.files.read, "mine") == "text"
    assert await api.call(sandbox.commands.list) == []
    await api.call(sandbox.kill)


@check("works", "Sandbox.create(lifecycle)")
async def pause_at_the_end(api):
    lifecycle = {"on_timeout": "pause", "auto_resume": True}
    sandbox = await api.sandbox(timeout=60, lifecycle=lifecycle)
    await api.call(sandbox.files.write, "mine", "text")
    await api.call(sandbox.set_timeout, 1)

    async def paused():
        return (await api.call(sandbox.get_info)).state.value == "paused"

    await until("the end", paused)
    assert await api.call(sandbox.files.read, "mine") == "text"
    assert not await paused()
    await api.call(sandbox.kill)


@check("works", "Sandbox.create_snapshot", "Sandbox.list_snapshots", "Sandbox.delete_snapshot")
async def snapshot(api):
    source = await api.sandbox()
    await api.call(source.files.write, "shared", "before")
    taken = await api.call(source.create_snapshot)
    await api.call(source.files.write, "shared", "after")
    listed = await api.pages(source.list_snapshots())
    assert [each.snapshot_id for each in listed] == [taken.snapshot_id], listed
    one, other = await api.sandbox(template=taken.snapshot_id), await api.sandbox(template=taken.snapshot_id)
    await api.call(one.files.write, "shared", "changed in one")
    assert await api.call(other.files.read, "shared") == "before"
    assert await api.call(source.files.read, "shared") == "after"
    assert await api.call(api.Sandbox.delete_snapshot, taken.snapshot_id) is True
    assert await api.call(api.Sandbox.delete_snapshot, taken.snapshot_id) is False
    for each in (source, one, other):
        await api.call(each.kill)


@check("works", "Sandbox.fork")
async def fork(api):
    source = await api.sandbox()
    await api.call(source.files.write, "state", "before")
    one, other = await api.call(source.fork, count=2)
    assert len({each.sandbox_id for each in (source, one, other)}) == 3
    await api.call(one.files.write, "state", "changed in one")
    for each in (source, other):
        assert await api.call(each.is_running) is True
        assert await api.call(each.files.read, "state") == "before"
    for each in (source, one, other):
        await api.call(each.kill)
    await must_raise(api, "SandboxNotFoundException", source.fork)
