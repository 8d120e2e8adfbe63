"""Enumerates by introspection what the package has, so that a newer version shows what the judge does not know."""

from __future__ import annotations

import argparse
import inspect

from instavm import InstaVM, cli, sandbox_client
from instavm import webhooks as signatures
from instavm.integrations import openai, openai_agents


def methods() -> set[str]:
    """The client's own methods by name, its managers' as `manager.method`, other public classes' as `Class.method`."""
    client = InstaVM('key', base_url='http://127.0.0.1:9', auto_start_session=False)
    managers = {name: type(value) for name, value in vars(client).items() if _is_ours(type(value))}
    owned = {InstaVM, *managers.values()}
    others = [
        value
        for name, value in vars(sandbox_client).items()
        if inspect.isclass(value) and _is_ours(value) and not name.startswith('_') and value not in owned
    ]
    return (
        {'InstaVM', *_public(InstaVM)}
        | {f'{name}.{method}' for name, kind in managers.items() for method in _public(kind)}
        | {f'{kind.__name__}.{method}' for kind in others for method in _public(kind)}
    )


def commands() -> set[str]:
    """The command line's leaves, from its own parser."""
    return set(_leaves(cli.build_parser(), []))


def agents() -> set[str]:
    """What the provider for OpenAI Agents defines itself, and the three inherited calls that reach the server."""
    kinds = {'client': openai_agents.InstaVMSandboxClient, 'session': openai_agents.InstaVMSandboxSession}
    own = {f'{owner}.{name}' for owner, kind in kinds.items() for name in vars(kind) if _is_call(kind, name)}
    return own | {'session.start', 'session.exec', 'session.resolve_exposed_port'}


def helpers() -> set[str]:
    own = {f'webhooks.{name}' for name in _functions(signatures)}
    return own | {f'integrations.openai.{name}' for name in _functions(openai)}


def _is_ours(kind: type) -> bool:
    return kind.__module__ == sandbox_client.__name__


def _public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.isroutine) if not name.startswith('_')}


def _is_call(kind: type, name: str) -> bool:
    return not name.startswith('_') and callable(getattr(kind, name)) and not inspect.isclass(getattr(kind, name))


def _functions(module) -> set[str]:
    found = inspect.getmembers(module, inspect.isfunction)
    return {name for name, value in found if not name.startswith('_') and value.__module__ == module.__name__}


def _leaves(parser: argparse.ArgumentParser, path: list[str]):
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield ' '.join(path)
    for group in groups:
        seen: list[argparse.ArgumentParser] = []
        for name, child in group.choices.items():
            # An alias is the same parser under another name.
            if child not in seen:
                seen.append(child)
                yield from _leaves(child, [*path, name])
