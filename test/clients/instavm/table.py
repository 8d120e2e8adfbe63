"""The table of results for COMPATIBILITY.md, in Markdown."""

from __future__ import annotations

from calls import LOCAL, RECORDS, REFUSED, WORKS, Call

TITLES = {'method': 'SDK', 'command': 'command line', 'agents': 'OpenAI Agents provider', 'helper': 'helpers'}
OUTCOMES = (WORKS, RECORDS, REFUSED, LOCAL)


def sums(calls: list[Call]) -> str:
    counts = {outcome: sum(call.outcome == outcome for call in calls) for outcome in OUTCOMES}
    return ', '.join(f'{count} {outcome}' for outcome, count in counts.items())


def rendered(calls: list[Call]) -> str:
    rows = ['| call | ' + ' | '.join(OUTCOMES[:3]) + ' | local: asks no server |', '| --- |' + ' --- |' * 4]
    for kind, title in TITLES.items():
        of_kind = [call for call in calls if call.kind == kind]
        rows.append(f'| **{title}** ({len(of_kind)}) | ' + ' | '.join(_count(of_kind, each) for each in OUTCOMES) + ' |')
        for group in sorted({_group(call) for call in of_kind}):
            of_group = [call for call in of_kind if _group(call) == group]
            rows.append(f'| {group} | ' + ' | '.join(_names(of_group, each) for each in OUTCOMES) + ' |')
    return '\n'.join(rows)


def _group(call: Call) -> str:
    if call.kind == 'command':
        words = call.name.split(' ')
        return words[0] if len(words) > 1 else 'commands of one word'
    return call.name.rsplit('.', 1)[0] if '.' in call.name else 'client'


def _count(calls: list[Call], outcome: str) -> str:
    return str(sum(call.outcome == outcome for call in calls))


def _names(calls: list[Call], outcome: str) -> str:
    names = [f'`{_short(call)}`' for call in calls if call.outcome == outcome]
    return ', '.join(names)


def _short(call: Call) -> str:
    if call.kind == 'command':
        return call.name.split(' ', 1)[-1]
    return call.name.rsplit('.', 1)[-1]
