"""Commands that must be refused in words: an exit code other than 0, no traceback, within a second."""

from calls import refused
from command import refusal


def no(words: str, name: str, arguments: str = '', stdin: str = '') -> None:
    refused('command', name, words, lambda f: refusal(f.cli(f'{name} {arguments}', stdin)))


no('terminal', 'pty', '{f.vm}')
no('execut|command', 'exec', '--cmd true --language bash')

TERMINAL = 'terminal|template'
no(TERMINAL, 'start', 'judged --no-input')
no(TERMINAL, 'devbox start', 'judged --no-input')

TAPE = 'tape'
no(TAPE, 'tape ls')
no(TAPE, 'tape start', '{f.session}')
for name in ('stop', 'get', 'events', 'play', 'lanes', 'export', 'rm'):
    no(TAPE, f'tape {name}', 'tape')
no(TAPE, 'tape diff', 'tape --from 1 --to 2')
no(TAPE, 'tape branch', 'tape --at 1')

no('share', 'share create', '{f.vm} 8000')
for name in ('set-public', 'set-private', 'revoke'):
    no('share', f'share {name}', 'share')

DOMAIN = 'domain'
no(DOMAIN, 'domain create', 'share app.example.com --dns-provider manual')
no(DOMAIN, 'domain list')
for name in ('verify', 'wait', 'resume', 'health'):
    no(DOMAIN, f'domain {name}', '1')
no(DOMAIN, 'domain delete', '1 --yes')

no('egress', 'egress get', '--vm {f.vm}')
no('egress', 'egress set', '--vm {f.vm} --deny-http')

VAULT = 'vault'
no(VAULT, 'vault list')
no(VAULT, 'vault create', 'keys')
no(VAULT, 'vault get', 'vault')
no(VAULT, 'vault update', 'vault --name other')
no(VAULT, 'vault delete', 'vault --yes')
no(VAULT, 'vault discover', 'vault')
no(VAULT, 'vault catalog')
no(VAULT, 'vault logs', 'vault')
no(VAULT, 'vault setup', '{f.vaulted}')
no(VAULT, 'vault secret list', 'vault')
no(VAULT, 'vault secret set', 'vault OPENAI --value-file {f.file}')
no(VAULT, 'vault secret rotate', 'vault credential --value-file {f.file}')
no(VAULT, 'vault secret delete', 'vault credential --yes')
no(VAULT, 'vault service list', 'vault')
no(VAULT, 'vault service add', 'vault --host api.openai.com --auth-type bearer --credential OPENAI')
no(VAULT, 'vault service remove', 'vault service')

BROWSER = 'browser'
no(BROWSER, 'browser session create')
no(BROWSER, 'browser session close', 'browser')
no(BROWSER, 'browser session ls')
no(BROWSER, 'browser read', 'http://example.com')
no(BROWSER, 'browser screenshot', 'http://example.com --out {f.directory}/page.png')
no(BROWSER, 'browser navigate', 'http://example.com --session browser')
no(BROWSER, 'browser click', 'a --session browser')
no(BROWSER, 'browser type', 'input text --session browser')
no(BROWSER, 'browser fill', 'input text --session browser')
no(BROWSER, 'browser scroll', '--session browser --y 100')
no(BROWSER, 'browser wait', 'load --session browser')
no(BROWSER, 'browser extract', '--session browser')

# For a live sandbox the command reports a running desktop without asking for one.
# For a sandbox that has ended it asks the server to start one.
no('image_variant|desktop', 'desktop start', '{f.ended}')
no('desktop', 'desktop viewer', '{f.vm}')
no('recording', 'desktop recordings ls')
no('recording', 'desktop recordings get', 'recording')
no('recording', 'desktop recordings download', 'recording --output {f.directory}/recording.mp4')
no('recording', 'desktop recordings rm', 'recording')

VOLUME = 'volume'
no(VOLUME, 'volume ls')
no(VOLUME, 'volume get', 'volume')
no(VOLUME, 'volume create', 'data --quota 1GB')
no(VOLUME, 'volume update', 'volume --name other')
no(VOLUME, 'volume rm', 'volume')
no(VOLUME, 'volume checkpoint ls', 'volume')
no(VOLUME, 'volume checkpoint create', 'volume')
no(VOLUME, 'volume checkpoint rm', 'volume checkpoint')
no(VOLUME, 'volume files ls', 'volume')
no(VOLUME, 'volume files upload', 'volume {f.file} --path /file.txt')
no(VOLUME, 'volume files download', 'volume /file.txt --out {f.directory}/copy.txt')
no(VOLUME, 'volume files rm', 'volume /file.txt')

# The manifest has an egress policy, so the server refuses before a sandbox starts.
# Without one, both commands wait 90 seconds for SSH.
no('egress', 'deploy', '{f.service} --yes --no-vault')
no('egress', 'cookbook deploy', 'service --no-vault')
