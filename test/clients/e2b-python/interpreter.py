"""Checks of e2b-code-interpreter: everything that runs code is refused with Sandpit's own words."""

import e2b_code_interpreter

from checks import refuses


def sandbox_class(api):
    """Returns the package's own Sandbox of this half."""
    return e2b_code_interpreter.Sandbox if api.half == "sync" else e2b_code_interpreter.AsyncSandbox


def refuses_on_machine(name, use):
    """Declares that this call, given a sandbox of the package, is refused."""

    @refuses(name, words="Sandpit")
    async def refused(api):
        sandbox = await api.call(sandbox_class(api).create)
        return await api.call(use, sandbox)


refuses_on_machine("code_interpreter.run_code", lambda sandbox: sandbox.run_code("1 + 1"))
refuses_on_machine("code_interpreter.create_code_context", lambda sandbox: sandbox.create_code_context())
refuses_on_machine("code_interpreter.list_code_contexts", lambda sandbox: sandbox.list_code_contexts())
refuses_on_machine("code_interpreter.remove_code_context", lambda sandbox: sandbox.remove_code_context("a"))
refuses_on_machine("code_interpreter.restart_code_context", lambda sandbox: sandbox.restart_code_context("a"))
