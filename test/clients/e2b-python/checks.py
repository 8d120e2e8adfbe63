"""Declares and runs checks of E2B's Python package against the server that the environment names.

A check is an async function. It gets an Api, which calls the synchronous or the asynchronous half of
the package, so that one check covers both. What a check promises is one of four results:

works: the call does what E2B's documentation says
on records only: the call works on Sandpit's record; what needs a machine is empty or ends in a refusal
refused in words: the call raises an error whose text has the server's own words, in less than a second
local: the package asks no server
"""

import inspect
import json
import sys
import time
import traceback

import e2b

CHECKS = []
MAX_REFUSAL_SECONDS = 1.0


class Api:
    """One half of the package: `Sandbox` or `AsyncSandbox` and its kin, called alike."""

    def __init__(self, half):
        self.half = half
        prefix = "" if half == "sync" else "Async"
        for name in ("Sandbox", "Template", "Volume", "Secret"):
            setattr(self, name, getattr(e2b, prefix + name, None))

    async def call(self, function, *args, **options):
        """Returns the result of a function of either half."""
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def sandbox(self, **options):
        """Starts a sandbox."""
        return await self.call(self.Sandbox.create, **options)

    async def pages(self, paginator):
        """Returns all items of a paginator."""
        items = []
        while paginator.has_next:
            items += await self.call(paginator.next_items)
        return items


def check(result, *names, since="0"):
    """Declares a check of these public names, in versions of the package from `since` on."""

    def declare(body):
        CHECKS.append({"names": names, "result": result, "since": since, "body": body})
        return body

    return declare


def refuses(*names, words="Sandpit", since="0"):
    """Declares a check whose body must raise an error that has these words of the server."""

    def declare(body):
        async def refused(api):
            begin = time.monotonic()
            try:
                result = await body(api)
            except Exception as error:
                seconds = time.monotonic() - begin
                assert words in str(error), f"the reason is missing in {type(error).__name__}: {error}"
                assert seconds < MAX_REFUSAL_SECONDS, f"refused after {seconds:.1f} s"
                return
            raise AssertionError(f"returned {result!r} instead of an error")

        refused.__name__ = body.__name__
        return check("refused in words", *names, since=since)(refused)

    return declare


def version(text):
    """Returns a version as numbers that compare."""
    return tuple(int(part) for part in text.split("."))


async def run(half):
    """Runs the checks of this version and yields a line for each: names, half, result, failure."""
    for each in CHECKS:
        if version(e2b_version()) < version(each["since"]):
            continue
        failure = None
        try:
            await each["body"](Api(half))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"
        yield {"names": each["names"], "half": half, "result": each["result"], "failure": failure}


def e2b_version():
    """Returns the version of the package."""
    from importlib.metadata import version as of

    return of("e2b")


def tell(line):
    """Writes one result for the program that reads them."""
    print(json.dumps(line), flush=True)


def known_names():
    """Returns every name that some check covers."""
    return {name for each in CHECKS for name in each["names"]}


if __name__ == "__main__":
    sys.exit("run main.py")
