"""Runs Python code that arrives on standard input, as a notebook does, and keeps its variables.

Standard input has one JSON object a line, with "id", "code" and "env". An interrupt is the signal SIGINT.
Standard output and error are those of the code itself. Between them come messages, as
../marked-output.ts describes: Jupyter's where ipykernel is installed, and the same by hand elsewhere.
"""

import ast
import asyncio
import base64
import inspect
import json
import linecache
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
import types

# Code must not see the arguments of this program.
MARK, sys.argv = sys.argv[1], [""]
# The bytes of a message that one write to a pipe keeps together (PIPE_BUF of pipe(7)).
PIECE = 4096 - len(MARK) - 16


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def send(kind, content, fd=1):
    """Writes a message to a pipe that other programs write to as well."""
    text = json.dumps({"type": kind, "content": content}, default=encoded)
    pieces = [text[at:at + PIECE] for at in range(0, len(text), PIECE)]
    for number, piece in enumerate(pieces):
        last = "." if number == len(pieces) - 1 else "+"
        write_all(fd, f"\0{MARK}{last}{piece}\0".encode("ascii"))


def encoded(value):
    """Returns what JSON has in place of a value that it can't hold."""
    return base64.b64encode(value).decode() if isinstance(value, (bytes, bytearray)) else str(value)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass


class Notebook:
    """Runs code in ipykernel, whose messages are sent on."""

    def __init__(self):
        sys.modules["debugpy"] = None  # a debugger that nobody can reach takes time and memory
        from ipykernel.ipkernel import IPythonKernel
        from jupyter_client.session import Session

        class PipeSession(Session):
            def send(self, stream, msg_or_type, content=None, *args, **kwargs):
                if isinstance(msg_or_type, dict):
                    content, kind = msg_or_type["content"], msg_or_type["header"]["msg_type"]
                else:
                    kind = msg_or_type
                if kind in ("execute_result", "display_data", "update_display_data", "error"):
                    flush()
                    send(kind, content)

        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        log = logging.getLogger("kernel")
        log.addHandler(logging.NullHandler())
        log.propagate = False
        self.kernel = IPythonKernel(session=PipeSession(), iopub_socket=object(), user_ns={}, log=log)
        del sys.modules["debugpy"]
        # What ipykernel needs to interrupt code that awaits, and to end.
        wake = asyncio.get_running_loop().call_soon_threadsafe
        self.kernel.io_loop = types.SimpleNamespace(add_callback=wake, call_later=lambda *_: None, stop=None)
        self.kernel.shell_channel_thread = types.SimpleNamespace(parent_thread=threading.main_thread())
        self.shell = self.kernel.shell
        # ipykernel's own runs commands in a terminal, which mixes their output and its errors.
        self.shell.system = self.run_shell
        self.shell.run_line_magic("colors", "NoColor")
        add_data_formatters(self.shell)

    async def run(self, code):
        """Returns whether the code ran without an error, and its number."""
        reply = await self.kernel.do_execute(code, False, store_history=True, allow_stdin=False)
        return reply["status"] == "ok", reply["execution_count"]

    @property
    def has_ended(self):
        """Whether code has called exit()."""
        return bool(self.shell.exit_now)

    def run_shell(self, command):
        self.shell.user_ns["_exit_code"] = run_shell(self.shell.var_expand(command, depth=1))


def add_data_formatters(shell):
    """Gives results the data behind them, under the media types of E2B's own kernels."""
    from IPython.core.formatters import BaseFormatter
    from traitlets import ObjectName, Unicode

    class DataFormatter(BaseFormatter):
        format_type = Unicode("e2b/data")
        print_method = ObjectName("_repr_e2b_data_")
        _return_type = dict

    class ChartFormatter(BaseFormatter):
        format_type = Unicode("e2b/chart")

        # Not by type: matplotlib's backend removes all formatters of figures.
        def __call__(self, value):
            kind = type(value)
            return chart_of(value) if (kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure") else None

    data, chart = DataFormatter(parent=shell.display_formatter), ChartFormatter(parent=shell.display_formatter)
    data.for_type_by_name("pandas", "DataFrame", columns_of)
    data.for_type_by_name("pandas.core.frame", "DataFrame", columns_of)
    formatters = shell.display_formatter.formatters
    formatters[data.format_type], formatters[chart.format_type] = data, chart


def columns_of(frame):
    return json.loads(frame.to_json(orient="split", date_format="iso", default_handler=str), object_hook=by_column)


def by_column(split):
    if "columns" not in split:
        return split
    return {str(name): [row[at] for row in split["data"]] for at, name in enumerate(split["columns"])}


def chart_of(figure):
    try:
        from e2b_charts import chart_figure_to_dict

        return chart_figure_to_dict(figure)
    except Exception:  # it is not installed, or does not know this kind of figure
        return None


class Script:
    """Runs code without ipykernel: a line that begins with ! runs in a shell, results are texts."""

    has_ended = False

    def __init__(self):
        self.count = 0
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.names = module.__dict__
        self.names["__sandpit_shell__"] = run_line

    async def run(self, code):
        self.count += 1
        try:
            await self.run_parts(code)
        except BaseException as error:  # a SystemExit ends a cell, as in a notebook
            flush()
            send("error", described(error))
            return False, self.count
        return True, self.count

    async def run_parts(self, code):
        name = f"<cell {self.count}>"
        tree = parsed(code, name)
        # So that a traceback shows the lines of code.
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if tree.body:
            await self.evaluate(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        if last is None:
            return
        value = await self.evaluate(compile(ast.Expression(last.value), name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        self.names["_"] = value
        if value is not None and not code.rstrip().endswith(";"):
            text = repr(value)
            flush()
            send("execute_result", {"data": {"text/plain": text}, "execution_count": self.count})

    async def evaluate(self, compiled):
        value = eval(compiled, self.names)
        if not compiled.co_flags & inspect.CO_COROUTINE:
            return value
        # An interrupt would otherwise end the event loop.
        task = asyncio.ensure_future(value)
        wake = asyncio.get_running_loop().call_soon_threadsafe
        signal.signal(signal.SIGINT, lambda *_: wake(task.cancel))
        return await task


def parsed(code, name):
    try:
        return ast.parse(code, name)
    except SyntaxError:
        lines = [shell_line(line) for line in code.split("\n")]
        if "\n".join(lines) == code:
            raise
        return ast.parse("\n".join(lines), name)


def shell_line(line):
    command = line.lstrip()
    if not command.startswith("!"):
        return line
    return f"{line[:len(line) - len(command)]}__sandpit_shell__({command[1:]!r})"


def run_shell(command):
    flush()
    return subprocess.run(command, shell=True, check=False).returncode


def run_line(command):
    run_shell(command)


def described(error):
    trace = error.__traceback__
    # Not the frames of this program.
    while trace and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return {"ename": type(error).__name__, "evalue": str(error), "traceback": "".join(lines).splitlines()}


class Environment:
    """Sets variables for one execution and takes them back after it."""

    def __init__(self, given):
        self.given = given

    def __enter__(self):
        self.before = {name: os.environ.get(name) for name in self.given}
        os.environ.update(self.given)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Runner:
    def __init__(self):
        self.requests = queue.Queue()

    def read(self):
        """Reads requests, on a thread of its own: tasks that code has started run on meanwhile."""
        # Code that reads from standard input gets its end.
        with os.fdopen(os.dup(0), "rb") as requests:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            self.requests.put(None)
            for line in requests:
                self.requests.put(json.loads(line))
        os._exit(0)

    async def serve(self):
        threading.Thread(target=self.read, daemon=True).start()
        self.requests.get()
        interpreter = open_interpreter()
        send("ready", {})
        while True:
            request = await asyncio.get_running_loop().run_in_executor(None, self.requests.get)
            await self.run(interpreter, request)

    async def run(self, interpreter, request):
        named = {"id": request["id"]}
        send("began", named)
        is_ok, count = not request["code"], 0
        began = cpu_seconds()
        try:
            with Environment(request["env"]):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if request["code"]:
                    is_ok, count = await interpreter.run(request["code"])
        except (KeyboardInterrupt, Exception) as error:  # also of a variable that the system refuses
            send("error", described(error))
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        flush()
        send("done", named, 2)
        send("done", {**named, "ok": is_ok, "execution_count": count, "cpu_seconds": cpu_seconds() - began})
        if interpreter.has_ended:
            os._exit(0)


def cpu_seconds():
    return sum(os.times()[:4])


def open_interpreter():
    try:
        return Notebook()
    except Exception:  # it is not installed, or a version that this program does not know
        sys.modules.pop("debugpy", None)
        return Script()


signal.signal(signal.SIGINT, signal.SIG_IGN)
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="backslashreplace", line_buffering=True)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(Runner().serve())
