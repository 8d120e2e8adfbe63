"""What the checks of machines share: one sandbox for each half of the package, and ways to wait."""

import time
from uuid import uuid4

MACHINES = {}


async def machine(api):
    """Returns the sandbox that all checks of this half share, and a new folder in it."""
    if api.half not in MACHINES:
        MACHINES[api.half] = await api.sandbox(timeout=3600)
    sandbox = MACHINES[api.half]
    folder = f"/home/user/{uuid4().hex}"
    await api.call(sandbox.files.make_dir, folder)
    return sandbox, folder


async def shell(api, sandbox, command, **options):
    """Runs a command and returns what it printed, without the end of the line."""
    return (await api.call(sandbox.commands.run, command, **options)).stdout.strip()


async def raised(api, function, *args, **options):
    """Returns the error that a call raises, and its classes' names."""
    try:
        result = await api.call(function, *args, **options)
    except Exception as error:
        return error, [each.__name__ for each in type(error).__mro__]
    raise AssertionError(f"returned {result!r} instead of an error")


async def must_raise(api, name, function, *args, **options):
    """Checks that a call raises this exception of the package or a kind of it. Returns the error."""
    error, names = await raised(api, function, *args, **options)
    assert name in names, f"raised {names[0]}: {error}"
    return error


async def until(words, ask, seconds=10):
    """Waits until the function's result is true."""
    end = time.monotonic() + seconds
    while not await ask():
        assert time.monotonic() < end, f"not within {seconds} s: {words}"
