"""Checks of templates that are built from code, in a machine, from files of this computer."""

import tempfile
from pathlib import Path
from uuid import uuid4

from checks import check
from e2b import Template as Builder
from e2b import wait_for_file

from .machine import must_raise, shell, until


def new_name():
    return f"built-{uuid4().hex[:12]}"


@check("works", "Template.build", "Template.exists", "Template.get_tags")
async def build(api):
    # Of its own, so that no step is kept from an earlier build.
    word = uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app").mkdir()
        Path(folder, "app", "greeting.txt").write_text(word)
        said = []
        name = new_name()
        template = (
            Builder(file_context_path=folder)
            .from_template("base")
            .copy("app", "/srv/app")
            .set_workdir("/srv/app")
            .set_envs({"WORD": word})
            .run_cmd('cat greeting.txt && echo "$WORD" > word.txt')
        )
        built = await api.call(
            api.Template.build,
            template,
            f"{name}:v1",
            tags=["stable"],
            cpu_count=1,
            memory_mb=256,
            on_build_logs=lambda entry: said.append(entry.message),
        )
    assert built.tags == ["v1", "stable"], built.tags
    assert any(word in message for message in said), said
    assert await api.call(api.Template.exists, f"{name}:stable") is True
    assert {each.tag for each in await api.call(api.Template.get_tags, built.template_id)} == {"v1", "stable"}
    for reference in (f"{name}:stable", built.template_id):
        sandbox = await api.sandbox(template=reference)
        assert await shell(api, sandbox, "cat greeting.txt word.txt; pwd") == f"{word}{word}\n/srv/app"
        info = await api.call(sandbox.get_info)
        assert (info.cpu_count, info.memory_mb) == (1, 256), info
        await api.call(sandbox.kill)


@check("works", "Template.build(failed step)")
async def failed_step(api):
    template = Builder().from_template("base").run_cmd("true").run_cmd("echo why >&2; exit 7")
    error = await must_raise(api, "BuildException", api.Template.build, template, new_name())
    assert "7" in str(error), error


@check("works", "Template.build_in_background", "Template.get_build_status")
async def build_in_background(api):
    started = await api.call(api.Template.build_in_background, Builder().from_template("base").run_cmd("true"), new_name())

    async def is_ready():
        status = await api.call(api.Template.get_build_status, started)
        assert status.status.value != "error", status.reason
        return status.status.value == "ready"

    await until("ready", is_ready, seconds=120)


@check("works", "Template.build(start command)")
async def start_command(api):
    name = new_name()
    command = "sleep 1; echo up > /tmp/up; sleep 1000"
    template = Builder().from_template("base").set_start_cmd(command, wait_for_file("/tmp/up"))
    await api.call(api.Template.build, template, name)
    sandbox = await api.sandbox(template=name)
    assert await shell(api, sandbox, "cat /tmp/up") == "up"
    await api.call(sandbox.kill)
