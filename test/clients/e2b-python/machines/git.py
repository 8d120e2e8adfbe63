"""Checks of git on a machine: a local repository stands for a remote one."""

from checks import check

from .machine import machine, must_raise, shell

AUTHOR = {"author_name": "Ada", "author_email": "ada@example.com"}


async def repository(api):
    """Makes a repository with one commit. Returns the sandbox, the folder and the repository's path."""
    sandbox, folder = await machine(api)
    path = f"{folder}/source"
    await api.call(sandbox.git.init, path, initial_branch="main")
    await api.call(sandbox.files.write, f"{path}/a", "one\n")
    await api.call(sandbox.git.add, path)
    await api.call(sandbox.git.commit, path, "First", **AUTHOR)
    return sandbox, folder, path


@check("works", "git.init", "git.add", "git.commit", "git.status")
async def commit(api):
    sandbox, _, path = await repository(api)
    assert await shell(api, sandbox, "git log --format='%an %s'", cwd=path) == "Ada First"
    status = await api.call(sandbox.git.status, path)
    assert status.is_clean and status.current_branch == "main", status
    await api.call(sandbox.files.write, f"{path}/b", "new")
    assert (await api.call(sandbox.git.status, path)).has_untracked


@check("works", "git.branches", "git.create_branch", "git.checkout_branch", "git.delete_branch")
async def branches(api):
    sandbox, _, path = await repository(api)
    await api.call(sandbox.git.create_branch, path, "topic")
    found = await api.call(sandbox.git.branches, path)
    assert (sorted(found.branches), found.current_branch) == (["main", "topic"], "topic"), found
    await api.call(sandbox.git.checkout_branch, path, "main")
    await api.call(sandbox.git.delete_branch, path, "topic")
    assert (await api.call(sandbox.git.branches, path)).branches == ["main"]


@check("works", "git.clone", "git.remote_add", "git.remote_get", "git.push", "git.pull")
async def remotes(api):
    sandbox, folder, path = await repository(api)
    bare = f"file://{folder}/bare"
    await api.call(sandbox.git.init, f"{folder}/bare", bare=True, initial_branch="main")
    await api.call(sandbox.git.remote_add, path, "origin", bare)
    assert await api.call(sandbox.git.remote_get, path, "origin") == bare
    await api.call(sandbox.git.push, path, remote="origin", branch="main")
    await api.call(sandbox.git.clone, bare, path=f"{folder}/copy")
    await api.call(sandbox.files.write, f"{path}/a", "two\n")
    await api.call(sandbox.git.add, path)
    await api.call(sandbox.git.commit, path, "Second", **AUTHOR)
    await api.call(sandbox.git.push, path, remote="origin", branch="main")
    await api.call(sandbox.git.pull, f"{folder}/copy")
    assert await api.call(sandbox.files.read, f"{folder}/copy/a") == "two\n"
    await must_raise(api, "CommandExitException", sandbox.git.clone, f"file://{folder}/none", path=f"{folder}/x")


@check("works", "git.reset", "git.restore")
async def undo(api):
    sandbox, _, path = await repository(api)
    await api.call(sandbox.files.write, f"{path}/a", "two\n")
    await api.call(sandbox.git.add, path)
    await api.call(sandbox.git.reset, path)
    assert not (await api.call(sandbox.git.status, path)).has_staged
    await api.call(sandbox.git.restore, path, ["a"])
    assert await api.call(sandbox.files.read, f"{path}/a") == "one\n"


@check("works", "git.set_config", "git.get_config", "git.configure_user", "git.dangerously_authenticate")
async def configuration(api):
    sandbox, _, path = await repository(api)
    await api.call(sandbox.git.set_config, "pull.rebase", "false", scope="local", path=path)
    assert await api.call(sandbox.git.get_config, "pull.rebase", scope="local", path=path) == "false"
    await api.call(sandbox.git.configure_user, "Bob", "bob@example.com")
    assert await api.call(sandbox.git.get_config, "user.name") == "Bob"
    await api.call(sandbox.git.dangerously_authenticate, "bob", "secret", host="git.example.com")
    assert "bob:secret@git.example.com" in await shell(api, sandbox, "cat ~/.git-credentials")
