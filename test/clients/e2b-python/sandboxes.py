"""Checks of the sandboxes themselves: creating, reading, listing, lifetimes, pauses, forks, snapshots."""

import os
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from checks import check, refuses
from e2b import SandboxQuery

UNKNOWN = "i" + "0" * 20


@check("works", "Sandbox.create", "Sandbox.sandbox_id", "Sandbox.sandbox_domain")
async def create(api):
    sandbox = await api.sandbox(timeout=120, metadata={"user": "ada"}, envs={"A": "1"})
    info = await api.call(sandbox.get_info)
    assert info.sandbox_id == sandbox.sandbox_id
    assert info.metadata == {"user": "ada"}
    assert timedelta(seconds=118) < info.end_at - datetime.now(timezone.utc) < timedelta(seconds=121)
    await api.call(sandbox.kill)


@check("works", "Sandbox.create(idempotency_key)", since="2.61.0")
async def create_once(api):
    key = str(uuid4())
    first = await api.sandbox(metadata={"key": key}, idempotency_key=key)
    second = await api.sandbox(metadata={"key": key}, idempotency_key=key)
    assert first.sandbox_id == second.sandbox_id
    found = await api.pages(api.Sandbox.list(query=SandboxQuery(metadata={"key": key})))
    assert len(found) == 1
    try:
        await api.sandbox(metadata={"key": "other"}, idempotency_key=key)
    except Exception as error:
        assert "dempotency" in str(error), error
    else:
        raise AssertionError("the same key with another body made a sandbox")


@check("works", "Sandbox.create(lifecycle)")
async def create_with_lifecycle(api):
    sandbox = await api.sandbox(lifecycle={"on_timeout": "pause"})
    info = await api.call(sandbox.get_info)
    assert info.lifecycle["on_timeout"] == "pause", info.lifecycle


@check("on records only", "Sandbox.create(network)")
async def create_with_network(api):
    rules = {"allow_out": ["10.0.0.0/8"], "deny_out": ["0.0.0.0/0"]}
    sandbox = await api.sandbox(network=rules, allow_internet_access=False)
    info = await api.call(sandbox.get_info)
    assert info.network["allow_out"] == rules["allow_out"], info.network
    assert info.network["deny_out"] == rules["deny_out"], info.network


@check("on records only", "Sandbox.create(network.egress_proxy)", since="2.57.0")
async def keeps_passwords(api):
    proxy = {"address": "proxy.example.com:1080", "username": "ada", "password": "kept back"}
    sandbox = await api.sandbox(network={"egress_proxy": proxy})
    info = await api.call(sandbox.get_info)
    assert info.network["egress_proxy"]["username"] == "ada", info.network
    assert "kept back" not in repr(info), "the password came back"


@check("on records only", "Sandbox.create(network.https_ports)", since="2.49.1")
async def keeps_https_ports(api):
    sandbox = await api.sandbox(network={"https_ports": [8443]})
    info = await api.call(sandbox.get_info)
    assert info.network["https_ports"] == [8443], info.network
    try:
        await api.sandbox(network={"https_ports": [49983]})
    except Exception as error:
        assert "httpsPorts" in str(error), error
    else:
        raise AssertionError("the agent's port was accepted")


@check("on records only", "Sandbox.create(network.egress_proxy.tls)", since="2.57.0")
async def keeps_certificates(api):
    tls = {"server_name": "proxy.example.com", "ca_cert": "kept back"}
    sandbox = await api.sandbox(network={"egress_proxy": {"address": "proxy.example.com:1080", "tls": tls}})
    info = await api.call(sandbox.get_info)
    assert info.network["egress_proxy"]["tls"]["server_name"] == "proxy.example.com", info.network
    assert "kept back" not in repr(info), "the certificate came back"


@check("on records only", "Sandbox.create(network.dns_servers)", since="2.59.0")
async def keeps_dns_servers(api):
    sandbox = await api.sandbox(network={"dns_servers": ["1.1.1.1"]})
    info = await api.call(sandbox.get_info)
    assert info.network["dns_servers"] == ["1.1.1.1"], info.network
    await api.call(sandbox.update_network, {"deny_out": ["192.0.2.0/24"]})
    info = await api.call(sandbox.get_info)
    assert not info.network.get("dns_servers"), info.network
    try:
        await api.sandbox(network={"dns_servers": ["abc"]})
    except Exception as error:
        assert "dnsServers" in str(error), error
    else:
        raise AssertionError("a server that is no address was accepted")


@refuses("Sandbox.create_snapshot(mode)", since="2.59.0")
async def filesystem_snapshot(api):
    sandbox = await api.sandbox()
    return await api.call(sandbox.create_snapshot, mode="filesystem")


@refuses("Sandbox.pause(strict)", since="2.63.0")
async def strict_pause(api):
    sandbox = await api.sandbox()
    return await api.call(sandbox.pause, strict=True)


@refuses("Sandbox.create(volume_mounts)")
async def create_with_volume(api):
    return await api.sandbox(volume_mounts={"/data": "models"})


@check("works", "Sandbox.get_info")
async def read_unknown(api):
    try:
        await api.call(api.Sandbox.get_info, UNKNOWN)
    except Exception as error:
        assert type(error).__name__ == "SandboxNotFoundException", error
    else:
        raise AssertionError("an unknown sandbox was found")


@check("works", "Sandbox.list")
async def list_and_filter(api):
    tag = str(uuid4())
    made = [await api.sandbox(metadata={"tag": tag, "n": str(n)}) for n in range(5)]
    query = SandboxQuery(metadata={"tag": tag})
    found = await api.pages(api.Sandbox.list(query=query, limit=2))
    assert [each.sandbox_id for each in found] == [each.sandbox_id for each in reversed(made)]
    one = await api.pages(api.Sandbox.list(query=SandboxQuery(metadata={"tag": tag, "n": "3"})))
    assert [each.sandbox_id for each in one] == [made[3].sandbox_id]


@check("works", "Sandbox.is_running", "Sandbox.kill")
async def kill(api):
    sandbox = await api.sandbox()
    assert await api.call(sandbox.is_running) is True
    assert await api.call(sandbox.kill) is True
    assert await api.call(sandbox.kill) is False
    assert await api.call(sandbox.is_running) is False


@check("works", "Sandbox.set_timeout", "Sandbox.connect")
async def lifetimes(api):
    sandbox = await api.sandbox(timeout=60)
    await api.call(sandbox.set_timeout, 600)
    info = await api.call(sandbox.get_info)
    assert info.end_at - datetime.now(timezone.utc) > timedelta(seconds=590)
    again = await api.call(api.Sandbox.connect, sandbox.sandbox_id, timeout=900)
    assert again.sandbox_id == sandbox.sandbox_id
    info = await api.call(again.get_info)
    assert info.end_at - datetime.now(timezone.utc) > timedelta(seconds=890)


@check("on records only", "Sandbox.pause", "Sandbox.beta_pause")
async def pause(api):
    sandbox = await api.sandbox()
    await api.call(sandbox.pause)
    info = await api.call(sandbox.get_info)
    assert info.state.value == "paused", info.state
    await api.call(api.Sandbox.connect, sandbox.sandbox_id)
    info = await api.call(sandbox.get_info)
    assert info.state.value == "running", info.state
    await api.call(sandbox.beta_pause)
    info = await api.call(sandbox.get_info)
    assert info.state.value == "paused", info.state


@check("on records only", "Sandbox.fork")
async def fork(api):
    tag = str(uuid4())
    sandbox = await api.sandbox(metadata={"tag": tag})
    forks = await api.call(sandbox.fork, count=3)
    assert len({each.sandbox_id for each in forks} | {sandbox.sandbox_id}) == 4
    found = await api.pages(api.Sandbox.list(query=SandboxQuery(metadata={"tag": tag})))
    assert len(found) == 4


@check("on records only", "Sandbox.create_snapshot", "Sandbox.list_snapshots", "Sandbox.delete_snapshot")
async def snapshots(api):
    sandbox = await api.sandbox(metadata={"from": "snapshot"})
    snapshot = await api.call(sandbox.create_snapshot)
    listed = await api.pages(sandbox.list_snapshots())
    assert snapshot.snapshot_id in [each.snapshot_id for each in listed]
    copy = await api.sandbox(template=snapshot.snapshot_id)
    assert copy.sandbox_id != sandbox.sandbox_id
    assert await api.call(api.Sandbox.delete_snapshot, snapshot.snapshot_id) is True
    assert await api.call(api.Sandbox.delete_snapshot, snapshot.snapshot_id) is False


@check("on records only", "Sandbox.update_network")
async def update_network(api):
    sandbox = await api.sandbox()
    await api.call(sandbox.update_network, {"deny_out": ["192.0.2.0/24"]})
    info = await api.call(sandbox.get_info)
    assert info.network["deny_out"] == ["192.0.2.0/24"], info.network


@check("on records only", "Sandbox.get_metrics")
async def metrics(api):
    sandbox = await api.sandbox()
    assert await api.call(sandbox.get_metrics) == []


@check("local", "Sandbox.get_host", "Sandbox.get_mcp_url", "Sandbox.upload_url", "Sandbox.download_url")
async def addresses(api):
    sandbox = await api.sandbox()
    assert sandbox.sandbox_id in sandbox.get_host(8080)
    assert sandbox.sandbox_id in await api.call(sandbox.get_mcp_url)
    for url in (sandbox.upload_url("/a"), sandbox.download_url("/a")):
        assert url.startswith(os.environ["E2B_SANDBOX_URL"]), url


@check("works", "wrong key")
async def wrong_key(api):
    try:
        await api.call(api.Sandbox.create, api_key="e2b_" + "f" * 40)
    except Exception as error:
        assert type(error).__name__ == "AuthenticationException", error
    else:
        raise AssertionError("a wrong key was accepted")


@check("works", "timeout beyond a day")
async def too_long(api):
    try:
        await api.sandbox(timeout=86_401)
    except Exception as error:
        assert "timeout" in str(error).lower(), error
    else:
        raise AssertionError("a timeout of more than a day was accepted")
