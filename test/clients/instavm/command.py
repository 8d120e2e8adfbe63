"""Runs the package's command line in a process of its own: forked, so that its start costs no second each time."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from tempfile import TemporaryFile

from instavm import cli

import wire
from calls import LIMIT_SECONDS, Unmet


@dataclass
class Ran:
    line: str
    code: int
    stdout: str
    stderr: str

    def json(self):
        self.succeeded()
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise Unmet(f'it printed no JSON: {self.stdout[:200]}') from None

    def succeeded(self) -> Ran:
        if self.code != 0:
            raise Unmet(f'exit code {self.code}: {self.said()}')
        return self

    def prints(self, *texts: str) -> Ran:
        self.succeeded()
        missing = [text for text in texts if text not in self.stdout]
        if missing:
            raise Unmet(f'it does not print {missing}: {self.said()}')
        return self

    def said(self) -> str:
        return ' '.join((self.stderr + ' ' + self.stdout).split())[:400]


class Failed(Exception):
    """A command that said why it failed, as a user expects it to."""


def refusal(ran: Ran) -> Ran:
    """Raises `Failed` with what a command printed when it failed without a traceback."""
    if 'Traceback (most recent call last)' in ran.stderr:
        raise Unmet(f'it ended in a traceback: {ran.stderr.strip().splitlines()[-1][:300]}')
    if ran.code != 0:
        raise Failed(f'{ran.stderr} {ran.stdout}')
    return ran


def run_command(argv: list[str], stdin: str, env: dict[str, str]) -> Ran:
    with TemporaryFile() as inp, TemporaryFile() as out, TemporaryFile() as err, TemporaryFile() as sent:
        inp.write(stdin.encode())
        inp.seek(0)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _be_the_command(argv, env, inp.fileno(), out.fileno(), err.fileno(), sent.fileno())
        code = _exit_code(child)
        texts = []
        for file in (out, err, sent):
            file.seek(0)
            texts.append(file.read().decode(errors='replace'))
    stdout, stderr, exchanges = texts
    wire.exchanges.extend(exchanges.splitlines())
    line = 'instavm ' + ' '.join(argv)
    if code is None:
        raise Unmet(f'`{line}` did not end within {LIMIT_SECONDS} seconds')
    return Ran(line, code, stdout, stderr)


def _exit_code(child: int) -> int | None:
    end = time.monotonic() + LIMIT_SECONDS - 0.5
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _be_the_command(argv: list[str], env: dict[str, str], inp: int, out: int, err: int, sent: int) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for target, source in enumerate((inp, out, err)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(env['HOME'])
    wire.exchanges.clear()
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), mode) for fd, mode in ((0, 'r'), (1, 'w'), (2, 'w')))
    code = 1
    try:
        code = cli.main(argv)
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(sent, '\n'.join(wire.exchanges).encode())
        os._exit(code or 0)
