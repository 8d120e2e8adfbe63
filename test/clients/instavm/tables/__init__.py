"""One table of calls a file. Importing a file declares its calls."""

from importlib import import_module

FILES = (
    'sessions', 'machines', 'templates', 'account', 'events', 'webhooks', 'not_offered',
    'commands_machines', 'commands_account', 'commands_events', 'commands_local', 'commands_not_offered',
    'agents', 'helpers', 'options_machines', 'options_events', 'options_refusals',
    'with_machines',
)


def load() -> None:
    for name in FILES:
        import_module(f'{__name__}.{name}')
