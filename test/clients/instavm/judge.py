"""The judge: calls everything that the package has, prints what failed, and makes the table if nothing did."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import members
import table
import wire
from calls import LOCAL, RECORDS, WORKS, Call, declared, judge
from fixture import Fixture
from tables import load

#: How many must work at least, by kind; those that ask no server count.
HAS_MACHINES = 'HAS_MACHINES' in os.environ
FLOORS = {'method': 84, 'command': 79} if HAS_MACHINES else {'method': 60, 'command': 55}


def main() -> int:
    warnings.simplefilter('ignore', DeprecationWarning)
    load()
    calls = declared(HAS_MACHINES)
    problems = unknown(calls) + too_few(calls)
    fixture = Fixture(os.environ['SANDPIT_URL'], os.environ['SANDPIT_KEY'], Path(os.environ['JUDGE_DIRECTORY']))
    # For work on the judge: only what has this text in its kind and name.
    only = next((argument for argument in sys.argv[1:] if not argument.startswith('-')), '')
    chosen = [call for call in calls if only in f'{call.kind} {call.name}']
    failures = [(call, wrong) for call in chosen if (wrong := judged(call, fixture)) is not None]
    for problem in problems:
        print(problem)
    report(chosen, failures)
    if failures or problems:
        return 1
    if not only:
        # main.ts writes this table to the page, or compares it with the page's.
        Path(os.environ['JUDGE_TABLE']).write_text(table.rendered(calls))
    return 0


def judged(call: Call, fixture: Fixture) -> str | None:
    started = time.monotonic()
    wrong = judge(call, fixture)
    if wrong is not None:
        sent = '; '.join(wire.exchanges[-3:]) or 'nothing'
        print(f'FAILED {call.kind} {call.name} ({call.outcome}): {wrong} | sent: {sent}', flush=True)
    if '--times' in sys.argv:
        print(f'{time.monotonic() - started:6.2f} {call.kind} {call.name}')
    return wrong


def unknown(calls: list[Call]) -> list[str]:
    """What the package has and the judge does not know, and the other way round."""
    found = {
        'method': members.methods(),
        'command': members.commands(),
        'agents': members.agents(),
        'helper': members.helpers(),
    }
    problems = []
    for kind, names in found.items():
        names_declared = [call.name for call in calls if call.kind == kind]
        problems += [f'UNKNOWN {kind} {name}: declare what must come of it' for name in sorted(names - set(names_declared))]
        problems += [f'GONE {kind} {name}: the package has no such' for name in sorted(set(names_declared) - names)]
        problems += [f'TWICE {kind} {name}' for name in sorted({n for n in names_declared if names_declared.count(n) > 1})]
    return problems


def too_few(calls: list[Call]) -> list[str]:
    counts = {
        kind: sum(call.kind == kind and call.outcome in (WORKS, RECORDS, LOCAL) for call in calls) for kind in FLOORS
    }
    return [f'TOO FEW {kind}: {counts[kind]} work, {floor} must' for kind, floor in FLOORS.items() if counts[kind] < floor]


def report(chosen: list[Call], failures: list[tuple[Call, str]]) -> None:
    failed = {id(call) for call, _ in failures}
    for kind in dict.fromkeys(call.kind for call in chosen):
        of_kind = [call for call in chosen if call.kind == kind]
        passed = sum(id(call) not in failed for call in of_kind)
        print(f'{kind}: {passed} of {len(of_kind)} passed ({table.sums(of_kind)})')
    print(f'{len(chosen) - len(failures)} passed, {len(failures)} failed')


sys.exit(main())
