"""What works where sandboxes have machines, and is refused with records only."""

import json
import socket
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

from instavm.integrations.openai import execute_tool
from websockets.sync.client import connect

from calls import has, holds, on_machines, same, until
from tables.agents import Sandbox
from tables.templates import published

SERVER = 'nohup python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 0.5'


@on_machines('method', 'execute')
def _(f):
    f.client.execute('x = 20')
    ran = f.client.execute('print(x)\nx + 1')
    same((ran['stdout'], ran['stderr'], ran['exit_code']), ('20\n21\n', '', 0), 'Python')
    failed = f.client.execute('echo out; echo err >&2; exit 3', language='bash', timeout=20)
    same((failed['stdout'], failed['stderr'], failed['exit_code']), ('out\n', 'err\n', 3), 'bash')
    began = time.monotonic()
    late = f.client.execute('sleep 60', language='bash', timeout=2)
    holds(late['exit_code'] == 124 and time.monotonic() - began < 2.5, f'it is not answered in time: {late}')


@on_machines('method', 'execute_async')
def _(f):
    has(f.client.execute_async('print(1)'), 'task_id')


@on_machines('method', 'get_task_result')
def _(f):
    task = f.client.execute_async('echo done; echo err >&2', language='bash')['task_id']
    result = f.client.get_task_result(task, poll_interval=1, timeout=10)
    holds('done' in str(result) and 'err' in str(result), f'the result is {result}')


@on_machines('method', 'execute_streaming')
def _(f):
    holds('5' in ''.join(f.client.execute_streaming('print(5)')), 'it does not print 5')


@on_machines('method', 'upload_file')
def _(f):
    f.client.upload_file(str(f.file), '/tmp/uploaded/file.txt')
    same(f.client.execute('cat /tmp/uploaded/file.txt', language='bash')['stdout'], 'content\n', 'the file')


@on_machines('method', 'download_file')
def _(f):
    f.client.execute("printf 'a\\0b' > made", language='bash')
    to = f.directory / 'downloaded'
    f.client.download_file('made', str(to))
    same(to.read_bytes(), b'a\0b', 'the file')
    f.client.execute(': > empty', language='bash')
    f.client.download_file('empty', str(to))
    same(to.read_bytes(), b'', 'an empty file')


def fetch(f, url: str) -> str:
    """Asks the server for what is behind a name below localhost, which not every system resolves."""
    host = url.split('/')[2]
    request = urllib.request.Request(f.url, headers={'Host': host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


@on_machines('method', 'get_session_app_url')
def _(f):
    f.client.execute(SERVER, language='bash')
    holds('Directory listing' in fetch(f, f.client.get_session_app_url(port=8000)['app_url']), 'no listing')


@on_machines('method', 'shares.create')
def _(f):
    f.client.execute(SERVER, language='bash')
    share = f.client.shares.create(8000, vm_id=f.vm, is_public=True)
    has(share, 'share_id', 'url')
    holds('Directory listing' in fetch(f, share['url']), 'no listing')


@on_machines('method', 'shares.update')
def _(f):
    share = f.client.shares.create(8000, vm_id=f.vm, is_public=True)
    same(f.client.shares.update(share['share_id'], is_public=False)['is_public'], False, 'is_public')
    same(f.client.shares.update(share['share_id'], revoke=True)['status'], 'revoked', 'the status')


@on_machines('method', 'vms.stage_env')
def _(f):
    f.client.vms.stage_env(f.vm, {'STAGED': 'a secret'})
    same(f.client.execute('echo $STAGED', language='bash')['stdout'], 'a secret\n', 'in bash')
    same(f.client.execute('import os; print(os.environ["STAGED"])')['stdout'], 'a secret\n', 'in Python')


def egress(get, set) -> None:
    set(allow_http=False, allow_https=True, allowed_cidrs=['192.0.2.0/24'])
    policy = get()
    kept = (policy['allow_http'], policy['allow_https'], policy['allowed_cidrs'])
    same(kept, (False, True, ['192.0.2.0/24']), 'the policy')
    set()
    same(get()['allow_http'], True, 'allow_http')


def of_session(f):
    egress(lambda: f.client.get_session_egress(), lambda **policy: f.client.set_session_egress(**policy))


def of_vm(f):
    egress(lambda: f.client.get_vm_egress(f.vm), lambda **policy: f.client.set_vm_egress(f.vm, **policy))


for name, run in {
    'set_session_egress': of_session, 'get_session_egress': of_session,
    'set_vm_egress': of_vm, 'get_vm_egress': of_vm,
}.items():
    on_machines('method', name)(run)


def terminal(f, create, listed, get, resize, kill, address) -> None:
    made = create()
    name = made['session_id']
    same(get(name)['alive'], True, 'alive')
    resize(name, 100, 30)
    with connect(address(name)) as joined:
        joined.send(b'stty size; exit 4\n')
        heard = b''
        for message in joined:
            if isinstance(message, str):
                same(message, '{"type":"exit","exit_code":4}', 'the last message')
            else:
                heard += message
    holds(b'30 100' in heard, f'it printed {heard[-200:]}')
    other = create()['session_id']
    holds(other in str(listed()), 'the terminal is not listed')
    kill(other)
    until(lambda: other not in str(listed()), 'it still is listed')


def session_terminal(f):
    pty, session = f.client.pty, f.session
    terminal(
        f, lambda: pty.create(session), lambda: pty.list(session), lambda name: pty.get(session, name),
        lambda name, cols, rows: pty.resize(session, name, cols, rows), lambda name: pty.kill(session, name),
        lambda name: pty.ws_url(session, name),
    )


def vm_terminal(f):
    pty, vm = f.client.pty, f.vm
    terminal(
        f, lambda: pty.create_for_vm(vm), lambda: pty.list_for_vm(vm), lambda name: pty.get_for_vm(vm, name),
        lambda name, cols, rows: pty.resize_for_vm(vm, name, cols, rows), lambda name: pty.kill_for_vm(vm, name),
        lambda name: pty.ws_url_for_vm(vm, name),
    )


for call in ('create', 'list', 'get', 'resize', 'kill'):
    on_machines('method', f'pty.{call}')(session_terminal)
    on_machines('method', f'pty.{call}_for_vm')(vm_terminal)


@on_machines('method', 'vms.update')
def _(f):
    vm = f.new_vm()
    f.client.vms.update(vm, vm_lifetime_seconds=3600, metadata={'judge': 'update'}, auto_suspend=True, auto_resume=True)
    read = f.client.vms.get(vm)
    same((read['metadata'], read['auto_suspend'], read['auto_resume']), ({'judge': 'update'}, True, True), 'what is read')


@on_machines('command', 'vm update')
def _(f):
    vm = f.new_vm()
    f.cli(f'vm update {vm} --auto-suspend').prints('Status: active')
    same(f.client.vms.get(vm)['auto_suspend'], True, 'auto_suspend')


@on_machines('command', 'exec')
def _(f):
    f.cli('exec --session {f.session} --language bash --timeout 20 --cmd hostname').succeeded()
    (f.directory / 'script.py').write_text('print(6 * 7)\n')
    f.cli('exec {f.directory}/script.py --session {f.session}').prints('42')


@on_machines('command', 'share create')
def _(f):
    f.cli('share create {f.vm} 8000 --public').prints('http://')


def share_of(f) -> str:
    return f.client.shares.create(8000, vm_id=f.vm)['share_id']


@on_machines('command', 'share set-public')
def _(f):
    f.cli(f'share set-public {share_of(f)}').succeeded()


@on_machines('command', 'share set-private')
def _(f):
    f.cli(f'share set-private {share_of(f)}').succeeded()


@on_machines('command', 'share revoke')
def _(f):
    f.cli(f'share revoke {share_of(f)}').succeeded()


@on_machines('command', 'egress get')
def _(f):
    f.cli('egress get --vm {f.vm}').succeeded()


@on_machines('command', 'egress set')
def _(f):
    f.cli('egress set --vm {f.vm} --deny-http').succeeded()
    same(f.client.get_vm_egress(f.vm)['allow_http'], False, 'allow_http')
    f.client.set_vm_egress(f.vm)


def built(f, snapshot: str) -> None:
    """A sandbox that starts from a snapshot has what its build left."""
    until(lambda: f.client.snapshots.get(snapshot)['status'] != 'building', 'it is being built', 120)
    read = f.client.snapshots.get(snapshot)
    same((read['status'], read['last_error']), ('ready', None), 'the build')
    client = f.new_client()
    client.session_id = f.client.vms.create(snapshot_id=snapshot)['session_id']
    same(client.execute('cat ~/made', language='bash')['stdout'], 'own\n', 'what the build made')


@on_machines('method', 'snapshots.create')
def _(f):
    args = {'envs': {'OWN': 'own'}, 'post_build_cmd': 'echo "$OWN" > ~/made'}
    made = f.client.snapshots.create('docker.io/library/ubuntu:24.04', name='judge-image', memory_mb=1024, build_args=args)
    same(made['status'], 'building', 'the status')
    built(f, made['id'])


@on_machines('command', 'snapshot build')
def _(f):
    line = 'snapshot build docker.io/library/ubuntu:24.04 --name built --memory 1024 --env OWN=own --json'
    built(f, f.run([*line.split(), '--run', 'echo "$OWN" > ~/made']).json()['id'])


@on_machines('command', 'pty')
def _(f):
    # Fed by a pipe it reads to the end and leaves, without showing anything.
    f.cli('pty {f.vm}', stdin='exit\n').succeeded()


@on_machines('agents', 'session.start')
def _(f):
    sandbox = Sandbox(f)
    sandbox.call('start')
    same(sandbox.call('running'), True, 'running')


@on_machines('agents', 'session.exec')
def _(f):
    ran = started(f).call('exec', 'echo out; exit 3')
    same((ran.exit_code, ran.stdout.strip()), (3, b'out'), 'the command')


def started(f, **options) -> Sandbox:
    sandbox = Sandbox(f, **options)
    sandbox.call('start')
    return sandbox


def written(f) -> Sandbox:
    sandbox = started(f)
    sandbox.call('write', Path('/workspace/file.txt'), BytesIO(b'content'))
    return sandbox


@on_machines('agents', 'session.write')
def _(f):
    written(f)


@on_machines('agents', 'session.read')
def _(f):
    same(written(f).call('read', Path('/workspace/file.txt')).read(), b'content', 'the file')


def restored(f):
    sandbox = written(f)
    kept = sandbox.call('persist_workspace')
    sandbox.call('hydrate_workspace', kept)
    same(sandbox.call('read', Path('/workspace/file.txt')).read(), b'content', 'the file afterwards')


on_machines('agents', 'session.persist_workspace')(restored)
on_machines('agents', 'session.hydrate_workspace')(restored)


@on_machines('agents', 'session.pty_exec_start')
def _(f):
    begun = started(f).call('pty_exec_start', 'echo from a terminal', tty=True)
    holds(begun is not None, 'it gives nothing')


@on_machines('agents', 'session.set_egress_policy')
def _(f):
    started(f).call('set_egress_policy', allow_http=False)


@on_machines('agents', 'session.get_egress_policy')
def _(f):
    holds(started(f).call('get_egress_policy') is not None, 'it gives nothing')


@on_machines('agents', 'session.resolve_exposed_port')
def _(f):
    found = started(f, exposed_ports=(8000,)).call('resolve_exposed_port', 8000)
    holds(found is not None, 'it gives nothing')


@on_machines('helper', 'integrations.openai.execute_tool')
def _(f):
    function = SimpleNamespace(name='execute_python_code', arguments=json.dumps({'code': 'print("tool")'}))
    answer = execute_tool(f.client, SimpleNamespace(function=function))
    holds(answer['success'] and 'tool' in str(answer), f'it says {answer}')


def deployed(line: str):
    """From the key to the page: the machine, the upload, the start and the share."""

    def run(f):
        f.ssh_key()
        # Then the command adds the user's own key.
        for key in f.client.list_ssh_keys():
            f.client.delete_ssh_key(key['id'])
        (f.deployed / 'index.html').write_text('<p>deployed</p>')
        answer = f.cli(f'{line} --json').json()
        with urllib.request.urlopen(answer['share_url'], timeout=5) as page:
            same(page.read(), b'<p>deployed</p>', 'the page')
        with urllib.request.urlopen(answer['share_url'] + '/set-up.txt', timeout=5) as page:
            same(page.read(), b'set up\n', 'what the setup made')
        f.client.vms.delete(answer['vm_id'])

    return run


on_machines('command', 'deploy')(deployed('deploy {f.deployed} --yes --no-vault'))
on_machines('command', 'cookbook deploy')(deployed('cookbook deploy deployed --no-vault'))


@on_machines('command', 'connect')
def _(f):
    f.cli('ssh-key add', stdin=f.ssh_key().read_text()).succeeded()
    options = '-o BatchMode=yes -o StrictHostKeyChecking=accept-new'
    f.cli('connect {f.vm} -- ' + options + f' -i {f.ssh_key().with_suffix("")} echo connected').prints('connected')



def joined(line: str):
    def run(f):
        published(f)
        # Fed by a pipe it reads to the end and leaves the terminal.
        f.cli(line, stdin='exit\n').succeeded()

    return run


on_machines('command', 'start')(joined('start judged --no-input'))
on_machines('command', 'devbox start')(joined('devbox start judged --no-input'))
