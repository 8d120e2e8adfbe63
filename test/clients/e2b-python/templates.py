"""Checks of templates, their names and tags, and of what Sandpit does not offer: builds, volumes, secrets."""

from uuid import uuid4

from checks import check, refuses
from e2b import Template as Builder


@check("works", "Template.exists", "Template.alias_exists")
async def exists(api):
    sandbox = await api.sandbox()
    name = f"t-{uuid4().hex[:12]}"
    await api.call(sandbox.create_snapshot, name=name)
    assert await api.call(api.Template.exists, "base") is True
    assert await api.call(api.Template.exists, name) is True
    assert await api.call(api.Template.alias_exists, name) is True
    assert await api.call(api.Template.exists, f"nonexistent-{uuid4()}") is False


@check("on records only", "Template.assign_tags", "Template.get_tags", "Template.remove_tags")
async def tags(api):
    sandbox = await api.sandbox()
    name = f"t-{uuid4().hex[:12]}"
    await api.call(sandbox.create_snapshot, name=name)
    given = await api.call(api.Template.assign_tags, f"{name}:default", ["stable", "v1"])
    assert {"stable", "v1"} <= set(given.tags), given
    found = await api.call(api.Template.get_tags, name)
    assert {"stable", "v1"} <= {each.tag for each in found}, found
    await api.call(api.Template.remove_tags, name, ["stable"])
    left = {each.tag for each in await api.call(api.Template.get_tags, name)}
    assert "stable" not in left and "v1" in left, left


@refuses("Template.build")
async def build(api):
    return await api.call(api.Template.build, Builder().from_image("debian:12"), f"b-{uuid4().hex[:8]}")


@refuses("Template.build_in_background")
async def build_in_background(api):
    return await api.call(api.Template.build_in_background, Builder().from_image("debian:12"), "b")


@check("local", *[f"Template.{name}" for name in """
    from_alpine_image from_arch_image from_aws_registry from_base_image from_bun_image from_debian_image
    from_dockerfile from_fedora_image from_gcp_registry from_image from_node_image from_python_image
    from_template from_ubuntu_image skip_cache to_dockerfile to_json""".split()])
async def recipe(api):
    assert "debian" in Builder.to_dockerfile(Builder().from_debian_image("12"))


@refuses("Volume.create")
async def create_volume(api):
    return await api.call(api.Volume.create, "models")


@refuses("Volume.list")
async def list_volumes(api):
    return await api.call(api.Volume.list)


@refuses("Volume.get_info")
async def read_volume(api):
    return await api.call(api.Volume.get_info, "models")


@refuses("Volume.connect", *[f"Volume.{name}" for name in """
    name token volume_id make_dir read_file remove update_metadata write_file exists""".split()])
async def connect_volume(api):
    return await api.call(api.Volume.connect, "models")


@refuses("Volume.destroy")
async def destroy_volume(api):
    return await api.call(api.Volume.destroy, "models")


@refuses("Secret.create")
async def create_secret(api):
    return await api.call(api.Secret.create, "token", "value")


@refuses("Secret.list")
async def list_secrets(api):
    return await api.pages(api.Secret.list())


@refuses("Secret.get_info")
async def read_secret(api):
    return await api.call(api.Secret.get_info, "token")


@refuses("Secret.exists")
async def secret_exists(api):
    return await api.call(api.Secret.exists, "token")


@refuses("Secret.update")
async def update_secret(api):
    return await api.call(api.Secret.update, "token", "value")


@refuses("Secret.destroy")
async def destroy_secret(api):
    return await api.call(api.Secret.destroy, "token")


@check("local", "Secret.fill", "Secret.iam_token")
async def placeholders(api):
    assert "token" in api.Secret.fill("token")
