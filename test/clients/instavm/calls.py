"""The calls that the judge makes, and what must come of each: the four outcomes of the table."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Callable

import wire

WORKS, RECORDS, REFUSED, LOCAL = 'works', 'on records only', 'refused in words', 'local'
#: No call may take longer; a refusal must arrive within `REFUSAL_SECONDS`.
LIMIT_SECONDS = 30 if os.environ.get('HAS_MACHINES') else 8
REFUSAL_SECONDS = 10.0 if os.environ.get('HAS_MACHINES') else 1.0
OUR_WORDS = re.compile(r'not offer|runs no machines', re.IGNORECASE)


class Unmet(Exception):
    """The result of a call is not the declared one."""


class TooLong(BaseException):
    """Not an Exception, so that the package's own handlers do not swallow it."""


@dataclass
class Call:
    #: 'method', 'command', 'agents', 'helper' or 'option'
    kind: str
    name: str
    outcome: str
    #: Makes the call and checks its result; raises `Unmet` when the check fails.
    run: Callable[[Any], Any]
    #: What the refusal must name, as a regular expression.
    words: str = ''
    #: Makes what `run` takes, if that is not the fixture. Its time does not count.
    prepare: Callable[[Any], Any] = field(default=lambda f: f)


calls: list[Call] = []


def _declare(kind: str, outcome: str):
    def named(name: str):
        def keep(run):
            calls.append(Call(kind, name, outcome, run))
            return run

        return keep

    return named


def works(kind: str, name: str):
    return _declare(kind, WORKS)(name)


def records(kind: str, name: str):
    return _declare(kind, RECORDS)(name)


def local(kind: str, name: str):
    return _declare(kind, LOCAL)(name)


#: What comes of calls where sandboxes have machines, in place of what is declared elsewhere.
with_machines: dict[tuple[str, str], Call] = {}


def on_machines(kind: str, name: str):
    """Declares a call that works where sandboxes have machines."""

    def keep(run):
        with_machines[kind, name] = Call(kind, name, WORKS, run)
        return run

    return keep


def declared(has_machines: bool) -> list[Call]:
    """The calls to make. What works on records works on the machines behind them, unless it is declared anew."""
    if not has_machines:
        return calls
    whole = [with_machines.get((call.kind, call.name), call) for call in calls]
    # Options are about what records only refuse, and how.
    kept = [call for call in whole if call.kind != 'option']
    return [replace(call, outcome=WORKS) if call.outcome == RECORDS else call for call in kept]


def refused(kind: str, name: str, words: str, run, prepare=None) -> None:
    """Declares a call that must fail with our words, which name `words`."""
    calls.append(Call(kind, name, REFUSED, run, words, prepare or (lambda f: f)))


def judge(call: Call, fixture) -> str | None:
    """Makes a call; returns why its result is wrong, or None."""
    try:
        with limited(LIMIT_SECONDS * 2):
            prepared = call.prepare(fixture)
    except (Exception, TooLong) as error:
        return f'its preparation failed: {described(error)}'
    wire.exchanges.clear()
    started = time.monotonic()
    result: Any = None
    error: BaseException | None = None
    try:
        with limited(LIMIT_SECONDS):
            result = call.run(prepared)
    except TooLong:
        return f'nothing came within {LIMIT_SECONDS} seconds'
    except Unmet as unmet:
        return str(unmet)
    except (Exception, SystemExit) as raised:
        error = raised
    if call.outcome == REFUSED:
        return wrong_refusal(call.words, result, error, time.monotonic() - started)
    if error is not None:
        return described(error)
    if call.outcome == LOCAL and wire.exchanges:
        return f'it asks the server: {wire.exchanges[0]}'
    return None


def wrong_refusal(words: str, result: Any, error: BaseException | None, seconds: float) -> str | None:
    if error is None:
        return f'it succeeded, and must be refused: {str(result)[:200]}'
    text = ' '.join(str(each) for each in causes(error))
    if not OUR_WORDS.search(text) or not re.search(words, text, re.IGNORECASE):
        return f'the refusal does not say that Sandpit does not offer it ({words}): {described(error)}'
    if seconds > REFUSAL_SECONDS:
        return f'the refusal took {seconds:.1f} seconds'
    return None


def causes(error: BaseException | None):
    """A refusal may be the cause of what is raised: the user's traceback shows both."""
    while error is not None:
        yield error
        error = error.__cause__


def described(error: BaseException) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:300]}'


@contextmanager
def limited(seconds: float):
    def stop(_signal, _frame):
        raise TooLong()

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def same(actual: Any, wanted: Any, what: str) -> None:
    if actual != wanted:
        raise Unmet(f'{what}: {actual!r}, and must be {wanted!r}')


def holds(condition: Any, what: str) -> None:
    if not condition:
        raise Unmet(what)


def until(condition: Callable[[], Any], what: str, seconds: float = 4) -> None:
    """Waits for what happens a moment later."""
    end = time.monotonic() + seconds
    while not condition():
        holds(time.monotonic() < end, f'{what} after {seconds} seconds')
        time.sleep(0.02)


def has(record: Any, *names: str) -> None:
    """A record the client reads must have these members, and none of them null."""
    if not isinstance(record, dict):
        raise Unmet(f'not an object: {str(record)[:200]}')
    missing = [name for name in names if record.get(name) is None]
    if missing:
        raise Unmet(f'without {", ".join(missing)}: {str(record)[:300]}')


def raises(kind: type[Exception], run: Callable[[], Any], what: str) -> Exception:
    try:
        run()
    except kind as error:
        return error
    raise Unmet(f'{what} raised no {kind.__name__}')
