"""Checks of files on a machine."""

import hashlib
import io
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from checks import check
from e2b import FileType

from .machine import machine, must_raise, shell, until

MEGABYTE = 2**20


@check("works", "files.read", "files.write")
async def read_and_write(api):
    sandbox, folder = await machine(api)
    path = f"{folder}/new/a b?.txt"
    info = await api.call(sandbox.files.write, path, "häl\0lo")
    assert (info.name, info.path) == ("a b?.txt", path), info
    assert await api.call(sandbox.files.read, path) == "häl\0lo"
    assert bytes(await api.call(sandbox.files.read, path, format="bytes")).decode() == "häl\0lo"
    await api.call(sandbox.files.write, path, b"\xff\x00bytes")
    assert bytes(await api.call(sandbox.files.read, path, format="bytes")) == b"\xff\x00bytes"
    await api.call(sandbox.files.write, path, io.BytesIO(b"from a stream"))
    assert await api.call(sandbox.files.read, path) == "from a stream"
    assert await shell(api, sandbox, f"cat '{path}'") == "from a stream"
    await api.call(sandbox.files.write, path, "")
    assert await api.call(sandbox.files.read, path) == ""
    await must_raise(api, "FileNotFoundException", sandbox.files.read, f"{folder}/none")
    await must_raise(api, "InvalidArgumentException", sandbox.files.read, folder)
    await must_raise(api, "InvalidArgumentException", sandbox.files.write, folder, "a")


@check("works", "files.read(gzip)", "files.write(gzip)", "files.write(use_octet_stream)")
async def encodings(api):
    sandbox, folder = await machine(api)
    text = "text " * 50_000
    for options in ({"gzip": True}, {"use_octet_stream": True}, {"use_octet_stream": False}):
        await api.call(sandbox.files.write, f"{folder}/a", text, **options)
        assert (await api.call(sandbox.files.get_info, f"{folder}/a")).size == len(text), options
        assert await api.call(sandbox.files.read, f"{folder}/a", gzip=True) == text, options


@check("works", "files.write_files")
async def write_many(api):
    sandbox, folder = await machine(api)
    files = [{"path": f"{folder}/{name}", "data": data} for name, data in (("a", "A"), ("s/b", b"B"))]
    infos = await api.call(sandbox.files.write_files, files)
    assert [each.path for each in infos] == [each["path"] for each in files], infos
    assert await shell(api, sandbox, f"cat {folder}/a {folder}/s/b") == "AB"
    assert await api.call(sandbox.files.write_files, []) == []


@check("works", "files.write(metadata)")
async def metadata(api):
    sandbox, folder = await machine(api)
    await api.call(sandbox.files.write, f"{folder}/a", "text", metadata={"author": "ada", "n": "7 %20"})
    info = await api.call(sandbox.files.get_info, f"{folder}/a")
    assert info.metadata == {"author": "ada", "n": "7 %20"}, info
    await api.call(sandbox.files.write, f"{folder}/a", "text", metadata={"other": "b"})
    info = await api.call(sandbox.files.get_info, f"{folder}/a")
    assert info.metadata == {"other": "b"}, info


@check("works", "files.list", "files.exists", "files.get_info")
async def entries(api):
    sandbox, folder = await machine(api)
    await shell(api, sandbox, "mkdir -p b/c; printf 12345 > a; chmod 640 a; touch b/c/d; ln -s a link", cwd=folder)
    listed = await api.call(sandbox.files.list, folder)
    assert [each.name for each in listed] == ["a", "b", "link"], listed
    deep = await api.call(sandbox.files.list, folder, depth=3)
    assert [each.path for each in deep] == [f"{folder}/{path}" for path in ("a", "b", "b/c", "b/c/d", "link")]
    info = await api.call(sandbox.files.get_info, f"{folder}/a")
    assert (info.type, info.size, info.mode, info.permissions) == (FileType.FILE, 5, 0o640, "-rw-r-----"), info
    assert (info.owner, info.group) == ("user", "user"), info
    link = await api.call(sandbox.files.get_info, f"{folder}/link")
    assert link.symlink_target == f"{folder}/a" and link.permissions.startswith("L"), link
    assert await api.call(sandbox.files.exists, f"{folder}/a") is True
    assert await api.call(sandbox.files.exists, f"{folder}/none") is False
    await must_raise(api, "FileNotFoundException", sandbox.files.get_info, f"{folder}/none")
    await must_raise(api, "FileNotFoundException", sandbox.files.list, f"{folder}/none")
    await must_raise(api, "InvalidArgumentException", sandbox.files.list, f"{folder}/a")


@check("works", "files.make_dir", "files.rename", "files.remove")
async def folders(api):
    sandbox, folder = await machine(api)
    assert await api.call(sandbox.files.make_dir, f"{folder}/a/b") is True
    assert await api.call(sandbox.files.make_dir, f"{folder}/a/b") is False
    await api.call(sandbox.files.write, f"{folder}/a/b/c", "text")
    moved = await api.call(sandbox.files.rename, f"{folder}/a/b/c", f"{folder}/d")
    assert (moved.name, moved.path) == ("d", f"{folder}/d"), moved
    await api.call(sandbox.files.remove, f"{folder}/a")
    await api.call(sandbox.files.remove, f"{folder}/none")
    assert await shell(api, sandbox, "ls", cwd=folder) == "d"
    await must_raise(api, "FileNotFoundException", sandbox.files.rename, f"{folder}/none", f"{folder}/e")


@check("works", "files.watch_dir", "files.watch_dir(recursive)", "files.watch_dir(include_entry)")
async def watch(api):
    sandbox, folder = await machine(api)
    await api.call(sandbox.files.make_dir, f"{folder}/sub")
    seen = []
    options = {"recursive": True, "include_entry": True}
    if api.half == "async":
        handle = await sandbox.files.watch_dir(folder, on_event=seen.append, **options)
    else:
        handle = sandbox.files.watch_dir(folder, **options)

    async def written():
        # Both halves need this: a call lets the asynchronous one receive events.
        await api.call(sandbox.files.exists, folder)
        if api.half == "sync":
            seen.extend(handle.get_new_events())
        return any((each.name, each.type.value) == ("sub/a", "write") and each.entry for each in seen)

    await api.call(sandbox.files.write, f"{folder}/sub/a", "text")
    await until("the write", written)
    await api.call(handle.stop)
    await must_raise(api, "FileNotFoundException", sandbox.files.watch_dir, f"{folder}/none", *callback(api))
    await must_raise(api, "InvalidArgumentException", sandbox.files.watch_dir, f"{folder}/sub/a", *callback(api))


def callback(api):
    """Returns the second argument of the asynchronous half's `watch_dir`."""
    return [print] if api.half == "async" else []


def status_of(url, data=None):
    """Returns the status of a request, and the body."""
    try:
        with urlopen(Request(url, data, {"Content-Type": "application/octet-stream"} if data else {})) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


@check("works", "Sandbox.upload_url", "Sandbox.download_url")
async def urls(api):
    sandbox, folder = await machine(api)
    path = f"{folder}/a"
    assert status_of(sandbox.upload_url(path), b"text")[0] == 200
    assert status_of(sandbox.download_url(path)) == (200, b"text")
    assert status_of(sandbox.download_url(path).replace("signature=v1_", "signature=v1_A"))[0] == 401
    short = sandbox.download_url(path, use_signature_expiration=1)

    async def expired():
        return status_of(short)[0] == 401

    await until("it has expired", expired)


@check("works", "files: 100 MB up and down")
async def large(api):
    sandbox, folder = await machine(api)
    data = b"".join(hashlib.sha256(str(n).encode()).digest() * (MEGABYTE // 32) for n in range(100))
    expected = hashlib.sha256(data).hexdigest()
    await api.call(sandbox.files.write, f"{folder}/a", io.BytesIO(data), request_timeout=60)
    assert (await shell(api, sandbox, f"sha256sum {folder}/a")).split()[0] == expected
    received = hashlib.sha256()
    stream = await api.call(sandbox.files.read, f"{folder}/a", format="stream", request_timeout=60)
    if api.half == "async":
        async for part in stream:
            received.update(part)
    else:
        for part in stream:
            received.update(part)
    assert received.hexdigest() == expected
    await api.call(sandbox.files.remove, f"{folder}/a")
