"""Records what the package sends and what comes back. The package itself stays as it was published."""

from __future__ import annotations

import os

import requests

_send = requests.Session.send
exchanges: list[str] = []


def _recorded(session, request, **options):
    line = f'{request.method} {request.path_url}{_shown(request.body, 200)}'
    try:
        response = _send(session, request, **options)
    except BaseException as error:
        exchanges.append(f'{line} -> {type(error).__name__}')
        raise
    exchanges.append(f'{line} -> {response.status_code}{_shown(response.text, 300)}')
    return response


def _shown(body, limit: int) -> str:
    if body is None or body == '':
        return ''
    text = body.decode(errors='replace') if isinstance(body, bytes) else str(body)
    text = ' '.join(text.split()).replace(os.environ.get('SANDPIT_KEY', 'no key'), '(key)')
    return f' {text[:limit]}…' if len(text) > limit else f' {text}'


requests.Session.send = _recorded
