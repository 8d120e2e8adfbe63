"""Runs every check with both halves of the installed package and writes one JSON line for each."""

import asyncio
import importlib.util
import os
import sys

import e2b
from checks import e2b_version, known_names, run, tell

HAS_URLS = "E2B_API_URL" in os.environ
HAS_MACHINES = "HAS_MACHINES" in os.environ

if HAS_URLS and HAS_MACHINES:
    import machines.commands  # noqa: F401
    import machines.files  # noqa: F401
    import machines.git  # noqa: F401
    import machines.sandboxes  # noqa: F401
    import machines.templates  # noqa: F401
    import machines.terminals  # noqa: F401
elif HAS_MACHINES:
    import machines.domain  # noqa: F401
elif HAS_URLS:
    import machine  # noqa: F401
    import retries  # noqa: F401
    import sandboxes  # noqa: F401
    import templates  # noqa: F401

    if importlib.util.find_spec("e2b_code_interpreter"):
        import interpreter  # noqa: F401
else:
    import domain  # noqa: F401

# What names no call: classes' constants and settings, and the managers whose methods are checked one by one.
NO_CALLS = {
    "Sandbox": {
        *["commands", "files", "git", "pty", "connection_config", "default_mcp_template", "default_sandbox_timeout"],
        *["default_template", "envd_api_url", "envd_direct_url", "mcp_port", "traffic_access_token"],
    },
    "Template": {"get_build_status"},
}


def public_names():
    """Returns every public name of the package that a user may call."""
    sandbox = e2b.Sandbox
    managers = {name: getattr(sandbox, name).fget.__annotations__["return"] for name in ("commands", "files", "git", "pty")}
    owners = {"Sandbox": sandbox, "Template": e2b.Template, **managers}
    owners |= {name: getattr(e2b, name) for name in ("Volume", "Secret") if hasattr(e2b, name)}
    if HAS_MACHINES:
        # A machine changes nothing for the others.
        owners = managers
    return {
        f"{title}.{name}"
        for title, owner in owners.items()
        for name in dir(owner)
        if not name.startswith("_") and name not in NO_CALLS.get(title, ())
    }


async def main():
    for name in sorted(public_names() - known_names()) if HAS_URLS else ():
        tell({"names": [name], "half": "sync", "result": "unknown", "failure": f"no check of e2b {e2b_version()} covers {name}"})
    for half in ("sync", "async"):
        async for line in run(half):
            tell(line)


asyncio.run(main())
# The package's native threads can crash an interpreter that ends in the usual way.
sys.stdout.flush()
os._exit(0)
