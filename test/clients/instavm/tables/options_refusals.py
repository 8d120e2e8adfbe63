"""Refusals of options, and of what only a WebSocket or another key can show."""

from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from instavm import AuthenticationError, InstaVM

from calls import holds, raises, records, refused, same, works
from command import refusal
from tables.agents import Sandbox

README = Path(__file__).parents[4] / 'README.md'


@works('option', "W1 the README's example")
def _(f):
    holds('InstaVM.list(' not in README.read_text(), 'the README calls InstaVM.list, which the package has not had since 0.11')


refused('option', 'W5 instavm exec result', 'execut|command', lambda f: refusal(f.cli('exec result task')))
refused('option', 'exec --async', 'execut|command', lambda f: refusal(f.cli('exec --cmd true --async --session {f.session}')))
refused('option', 'W12 agents client.create(allowed_domains=)', 'egress', lambda f: Sandbox(f, allowed_domains=('example.com',)))
refused(
    'option',
    'agents client.create(snapshot_on_terminate=)',
    'snapshot_on_terminate',
    lambda f: Sandbox(f, snapshot_on_terminate=True),
)
refused('option', 'instavm login without a key', 'login|log in', lambda f: refusal(f.cli('login', INSTAVM_API_KEY='')))
refused(
    'option',
    # The command retries after a 5xx, for six seconds, so the server must answer 403.
    'instavm snapshot build --apt',
    'build',
    lambda f: refusal(f.cli('snapshot build ubuntu:24.04 --apt curl')),
)
refused(
    'option',
    # This command retries too.
    'instavm template run --vault',
    'vault',
    lambda f: refusal(f.cli('template run judged --vault vault')),
)
refused('option', 'templates.publish(verify=True)', 'verif', lambda f: f.client.templates.publish(f.devbox, wait=False))
refused('option', 'instavm create --volume', 'volume', lambda f: refusal(f.cli('create --volume data:/data:rw')))
refused('option', 'instavm create --type computer-use', 'image_variant', lambda f: refusal(f.cli('create --type computer-use')))


def executes_locally(f):
    return InstaVM(local=True, local_url=f.url).execute('true')


@works('option', 'execute in local mode')
def _(f):
    # Without a key: the client has words of its own for that.
    raises(AuthenticationError, lambda: executes_locally(f), 'execute')


@records('option', 'a terminal of a sandbox is closed with a reason')
def _(f):
    closed_with_reason(f.client.pty.ws_url_for_vm(f.vm, 'pty'))


@records('option', 'a terminal of a session is closed with a reason')
def _(f):
    closed_with_reason(f.client.pty.ws_url(f.session, 'pty'))


def closed_with_reason(url: str) -> None:
    with connect(url, open_timeout=2, close_timeout=1) as socket:
        closed = raises(ConnectionClosed, lambda: socket.recv(timeout=2), 'reading from it')
    same(closed.rcvd.code, 4500, 'the code')
    holds('not offer' in closed.rcvd.reason and 'terminal' in closed.rcvd.reason, f'the reason is {closed.rcvd.reason!r}')


@works('option', 'a wrong key, everywhere')
def _(f):
    other = InstaVM(f'e2b_{"0" * 40}', base_url=f.url, auto_start_session=False)
    for ask in (other.vms.list, other.audit.catalog, other.list_vaults, other.get_current_user, other.volumes.list):
        raises(AuthenticationError, ask, 'a wrong key')
    ran = f.cli('ls', INSTAVM_API_KEY=f'e2b_{"0" * 40}')
    holds(ran.code == 1 and 'instavm login' in ran.stderr, f'the command says: {ran.said()}')
