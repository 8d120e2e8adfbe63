"""Runs cases.json with E2B's code interpreter for Python, and prints each step's outcome as a line of JSON."""

import asyncio
import json
import sys

from e2b import NotFoundException, TimeoutException
from e2b_code_interpreter import AsyncSandbox, Sandbox

MEMBERS = ["text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json", "javascript", "data", "chart"]


def content(result, name):
    value = getattr(result, name)
    return value.to_dict() if name == "chart" and value is not None else value


def outcome(execution, heard):
    results = [
        {
            "isMain": result.is_main_result,
            "content": {name: content(result, name) for name in MEMBERS if getattr(result, name) is not None},
        }
        for result in execution.results
    ]
    error = execution.error
    return {
        "text": execution.text,
        "stdout": "".join(execution.logs.stdout),
        "stderr": "".join(execution.logs.stderr),
        "error": None if error is None else {"name": error.name, "value": error.value, "traceback": error.traceback},
        "results": results,
        "heard": heard,
    }


def thrown(error):
    if isinstance(error, NotFoundException):
        return {"thrown": "NotFound"}
    return {"thrown": "TimeoutError" if isinstance(error, TimeoutException) else "Error"}


def listeners(sandbox, step, heard):
    def on_stdout(output):
        heard["stdout"] += output.line
        if "creates" in step and heard["stdout"] == output.line:
            return sandbox.files.write(step["creates"], "")

    return {
        "on_stdout": on_stdout,
        "on_stderr": lambda output: heard.__setitem__("stderr", heard["stderr"] + output.line),
        "on_result": lambda _: heard.__setitem__("results", heard["results"] + 1),
        "on_error": lambda _: heard.__setitem__("errors", heard["errors"] + 1),
    }


def options(sandbox, step, contexts, heard):
    given = {name: step[name] for name in ("language", "envs", "timeout") if name in step}
    context = {"context": contexts[step["context"]]} if "context" in step else {}
    return {**given, **context, **listeners(sandbox, step, heard)}


def silence():
    return {"stdout": "", "stderr": "", "results": 0, "errors": 0}


async def ready(value):
    return await value if asyncio.iscoroutine(value) else value


async def begun(call):
    """Runs a call of either client without holding up others."""
    return await ready(await asyncio.to_thread(call))


async def do(sandbox, step, contexts):
    if "create" in step:
        given = {name: step[name] for name in ("language", "cwd") if name in step}
        made = contexts[step["create"]] = await ready(sandbox.create_code_context(**given))
        return {"language": made.language, "cwd": made.cwd if "cwd" in step else None}
    if "listed" in step:
        listed = await ready(sandbox.list_code_contexts())
        return {"listed": sum(1 for each in listed if each.id == contexts[step["listed"]].id)}
    for change in ("restart", "remove"):
        if change in step:
            await ready(getattr(sandbox, f"{change}_code_context")(contexts[step[change]]))
            return {}
    heard = silence()
    if "both" not in step:
        return outcome(await ready(sandbox.run_code(step["code"], **options(sandbox, step, contexts, heard))), heard)
    calls = [lambda code=code: sandbox.run_code(code, **options(sandbox, step, contexts, silence())) for code in step["both"]]
    first = asyncio.ensure_future(begun(calls[0]))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(begun(calls[1]))
    executions = await asyncio.gather(first, second)
    return outcome(executions[-1], silence())


async def main(kind, template):
    create = {"template": template, "envs": {"OWN": "sandbox"}, "timeout": 600}
    sandbox = await AsyncSandbox.create(**create) if kind == "async" else Sandbox.create(**create)
    contexts = {}
    with open("cases.json") as file:
        cases = json.load(file)
    for case in cases:
        for number, step in enumerate(case["steps"]):
            try:
                result = await do(sandbox, step, contexts)
            except Exception as error:
                result = {**thrown(error), "words": str(error)}
            print(json.dumps({"case": case["name"], "step": number, "outcome": result}), flush=True)
    await ready(sandbox.kill())


asyncio.run(main(*sys.argv[1:]))
