"""Methods that need a machine or a service that Sandpit does not have: each must be refused in words."""

from instavm import NetworkError
from instavm.sandbox_client import BrowserSession, ToolCallRecorder

from calls import refused
from command import Failed


def filled(value, f):
    """Puts the fixture's own ids into {f.vm} and the like."""
    if isinstance(value, str):
        return value.format(f=f)
    if isinstance(value, list):
        return [filled(each, f) for each in value]
    return value


def no(name: str, words: str, /, *args, **options) -> None:
    def run(f):
        target = f.client
        for part in name.split('.'):
            target = getattr(target, part)
        given = {key: filled(value, f) for key, value in options.items()}
        return target(*(filled(each, f) for each in args), **given)

    refused('method', name, words, run)


RUN = 'execut|command'
no('execute', RUN, 'true', language='bash', timeout=5)
no('execute_async', RUN, 'true')
no('get_task_result', RUN, 'task')
refused('method', 'execute_streaming', RUN, lambda f: list(f.client.execute_streaming('true')))
no('upload_file', 'file', '{f.file}', '/tmp/file.txt')
no('download_file', 'file', '/tmp/file.txt')
no('get_session_app_url', 'app URL|port', port=8000)

no('set_session_egress', 'egress', allow_http=False)
no('get_session_egress', 'egress')
no('set_vm_egress', 'egress', '{f.vm}', allow_http=False)
no('get_vm_egress', 'egress', '{f.vm}')
no('shares.create', 'share', 8000, vm_id='{f.vm}')
no('shares.update', 'share', 'share', revoke=True)
no('vms.stage_env', 'stage|environment', '{f.vm}', {'A': 'b'})

VAULT = 'vault'
no('list_vaults', VAULT)
no('create_vault', VAULT, 'keys')
no('get_vault', VAULT, 'vault')
no('update_vault', VAULT, 'vault', name='other')
no('delete_vault', VAULT, 'vault')
no('discover_vault', VAULT, 'vault')
no('list_vault_credentials', VAULT, 'vault')
no('add_vault_credential', VAULT, 'vault', name='OPENAI', value='secret')
no('rotate_vault_credential', VAULT, 'vault', 'credential', value='secret')
no('delete_vault_credential', VAULT, 'vault', 'credential')
no('list_vault_services', VAULT, 'vault')
no('add_vault_service', VAULT, 'vault', host='api.openai.com', auth_config={'type': 'bearer', 'token': 'OPENAI'})
no('delete_vault_service', VAULT, 'vault', 'service')
no('add_vault_services_from_templates', VAULT, 'vault', ['openai'])
no('get_vault_catalog', VAULT)
no('get_vault_request_logs', VAULT, 'vault')

VOLUME = 'volume'
no('volumes.create', VOLUME, 'data', 1 << 30)
no('volumes.list', VOLUME)
no('volumes.get', VOLUME, 'volume')
no('volumes.update', VOLUME, 'volume', name='other')
no('volumes.delete', VOLUME, 'volume')
no('volumes.create_checkpoint', VOLUME, 'volume')
no('volumes.list_checkpoints', VOLUME, 'volume')
no('volumes.delete_checkpoint', VOLUME, 'volume', 'checkpoint')
no('volumes.upload_file', VOLUME, 'volume', '{f.file}', '/file.txt')
no('volumes.download_file', VOLUME, 'volume', '/file.txt')
no('volumes.list_files', VOLUME, 'volume')
no('volumes.delete_file', VOLUME, 'volume', '/file.txt')
no('vms.mount_volume', VOLUME, '{f.vm}', 'volume', '/data')
no('vms.list_volumes', VOLUME, '{f.vm}')
no('vms.unmount_volume', VOLUME, '{f.vm}', 'volume', '/data')

PTY = 'terminal'
no('pty.create', PTY, '{f.session}')
no('pty.list', PTY, '{f.session}')
no('pty.get', PTY, '{f.session}', 'pty')
no('pty.resize', PTY, '{f.session}', 'pty', 80, 24)
no('pty.kill', PTY, '{f.session}', 'pty')
no('pty.create_for_vm', PTY, '{f.vm}')
no('pty.list_for_vm', PTY, '{f.vm}')
no('pty.get_for_vm', PTY, '{f.vm}', 'pty')
no('pty.resize_for_vm', PTY, '{f.vm}', 'pty', 80, 24)
no('pty.kill_for_vm', PTY, '{f.vm}', 'pty')

DOMAIN = 'domain'
no('custom_domains.create', DOMAIN, 'app.example.com', 'share', 'manual')
no('custom_domains.list', DOMAIN)
no('custom_domains.health', DOMAIN, 1)
no('custom_domains.verify', DOMAIN, 1)
no('custom_domains.delete', DOMAIN, 1)
# The method retries after every error, for ten minutes. Only a record with the status `failed`
# ends it, and `last_error` is what the user sees.
no('custom_domains.wait_until_issued', DOMAIN, 1)
no('custom_domains.verify_and_wait', DOMAIN, 1)
no('custom_domains.resume', DOMAIN, 1)


def get_domain(f):
    """Reads that record: the refusal is in its `last_error`."""
    record = f.client.custom_domains.get(1)
    if record.get('status') == 'failed':
        raise Failed(record.get('last_error'))
    return record


refused('method', 'custom_domains.get', DOMAIN, get_domain)

DESKTOP = 'desktop'
no('computer_use.viewer_url', DESKTOP, '{f.session}')
no('computer_use.vnc_websockify', DESKTOP, '{f.session}')
no('computer_use.proxy', DESKTOP, '{f.session}', 'screenshot')
no('computer_use.get', DESKTOP, '{f.session}', 'screenshot')
no('computer_use.post', DESKTOP, '{f.session}', 'click', json_data={'x': 1, 'y': 1})
no('computer_use.put', DESKTOP, '{f.session}', 'state', json_data={})
no('computer_use.patch', DESKTOP, '{f.session}', 'state', json_data={})
no('computer_use.delete', DESKTOP, '{f.session}', 'state')
no('computer_use.options', DESKTOP, '{f.session}', 'state')


def head(f):
    """The answer to HEAD has no body, so only the status can reach the user."""
    try:
        return f.client.computer_use.head(f.session, 'state')
    except NetworkError as error:
        raise Failed(f'desktop not offered: {error}') if '501' in str(error) else error


refused('method', 'computer_use.head', DESKTOP, head)
for name, args in {
    'list': (), 'get': ('recording',), 'get_download_url': ('recording',),
    'download': ('recording', '{f.directory}/recording.mp4'), 'delete': ('recording',),
}.items():
    no(f'recordings.{name}', 'recording', *args)

TAPE = 'tape'
no('tapes.start', TAPE, '{f.session}')
no('tapes.stop', TAPE, 'tape')
no('tapes.list', TAPE)
no('tapes.get', TAPE, 'tape')
no('tapes.events', TAPE, 'tape')
no('tapes.append_event', TAPE, 'tape', 'agent_log', {'text': 'hello'})
no('tapes.diff', TAPE, 'tape', 1, 2)
no('tapes.branch', TAPE, 'tape', 1)
no('tapes.delete', TAPE, 'tape')
no('tapes.lanes', TAPE, 'tape')
no('tapes.export', TAPE, 'tape')
refused('method', 'tape', TAPE, lambda f: f.client.tape().__enter__())
refused('method', 'ToolCallRecorder.event', TAPE, lambda f: ToolCallRecorder(f.client.tapes, 'tape').event('agent_log'))
refused('method', 'ToolCallRecorder.span', TAPE, lambda f: ToolCallRecorder(f.client.tapes, 'tape').span('x').__enter__())

BROWSER = 'browser'
no('create_browser_session', BROWSER)
no('get_browser_session', BROWSER, 'browser')
no('close_browser_session', BROWSER, 'browser')
no('list_browser_sessions', BROWSER)
no('browser.create_session', BROWSER)

#: By the name of the interaction: what the client's own method takes beside the browser session.
INTERACTIONS = {
    'navigate': ('http://example.com',),
    'click': ('a',),
    'type': ('input', 'text'),
    'fill': ('input', 'text'),
    'screenshot': (),
    'extract_elements': (),
    'extract_content': (),
}
for name, args in INTERACTIONS.items():
    no(f'browser_{name}', BROWSER, *args, session_id='browser')
    no(f'browser.{name}', BROWSER, *args)
no('browser_scroll', BROWSER, 'browser', y=100)
no('browser_wait', BROWSER, 'load', 'browser')
no('browser.wait_for', BROWSER, 'load')


def no_session(name: str, /, *args, **options) -> None:
    run = lambda f: getattr(BrowserSession('browser', f.client), name)(*args, **options)
    refused('method', f'BrowserSession.{name}', BROWSER, run)


for name, args in INTERACTIONS.items():
    no_session(name, *args)
no_session('scroll', y=100)
no_session('wait_for', 'load')
no_session('close')
